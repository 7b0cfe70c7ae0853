"""Serves sekmet-fhir (PyPI, Apache-2.0), an EHR we did not write, for one test.

    python serve_sekmet.py FOLDER < settings.json

FOLDER is where it keeps its data. The first line of standard input is JSON: `clients` (client id, JWK Set, allowed scopes)
and `loader`, a bearer token that may write. The first line of standard output is the FHIR base. It ends when standard
input does, so that a test that dies leaves nothing behind.
"""
import json
import os
import socket
import sys
import threading

import uvicorn
from sekmet.config import Settings, set_settings
from sekmet.main import create_app


def main() -> None:
    folder = sys.argv[1]
    asked = json.loads(sys.stdin.readline())
    listening = socket.create_server(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{listening.getsockname()[1]}/fhir"
    settings = Settings.model_validate({
        # Links, token audience and manifest all take their addresses from here, never from the request.
        "base_url": base,
        "data_dir": folder,
        "server_auth": {
            "types": ["smart", "bearer"],
            "tokens": [asked["loader"]],
            "smart_clients": asked["clients"],
        },
        # Its own structural check reads R5 models, and its hospital invents results for orders it is given.
        "validation": {"inbound": "off"},
        "simulator": {"enabled": False, "delay_seconds": 0},
        "log_inbound": False,
    })
    set_settings(settings)
    server = uvicorn.Server(uvicorn.Config(create_app(settings), log_level="warning"))

    def end_with_input() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=end_with_input, daemon=True).start()
    print(base, flush=True)
    server.run(sockets=[listening])


main()
