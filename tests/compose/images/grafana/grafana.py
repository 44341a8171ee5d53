"""Stand-in for Grafana: reads what is mounted, writes to its volume, answers ``/api/health``."""

import http.server
import json
import os
from pathlib import Path


class Health(http.server.BaseHTTPRequestHandler):
    """Answers every request."""

    def do_GET(self) -> None:
        """Say that the database is reachable, as Grafana does."""
        body = json.dumps({"database": "ok", "version": "stand-in"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write no access log."""


def main() -> None:
    """Check what is mounted, write to the volume, serve."""
    assert list(Path("/etc/grafana/provisioning").rglob("*.y*ml"))
    json.loads(Path(os.environ["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]).read_text())
    Path("/var/lib/grafana/grafana.db").touch()
    address = ("0.0.0.0", 3000)
    http.server.ThreadingHTTPServer(address, Health).serve_forever()


if __name__ == "__main__":
    main()
