"""The console: pages that tell what is live, what is wrong and what needs a decision.

`app` is the web application, `server` runs it beside the projection's feeder. Each page has a
module that gathers what it shows from the projection, and a template that only lays it out.
"""
