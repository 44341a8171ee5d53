"""Takes alerts from Alertmanager and delivers them to Slack, to webhooks or to a local receiver."""
