"""The JSON API on a web listener, as browsers and programs ask it.

    web = Web(port)
    status, answer = web.ask("GET", "me", token=text)
"""
import http.client
import json


class Web:
    """One kept connection. host: what public_url names; forwarded: as if through a trusted proxy with TLS."""

    def __init__(self, port, host=None, forwarded=False):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.host = host or f"127.0.0.1:{port}"
        self.forwarded = forwarded
        self.headers = None  # of the last answer

    def ask(self, method, path, body=None, token=None, cookie=None, csrf=None, headers=(), address="198.51.100.7"):
        """(status, answer); answers that are no JSON are texts."""
        text = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Host": self.host}
        if self.forwarded:
            sent.update({"X-Forwarded-For": address, "X-Forwarded-Proto": "https"})
        if text is not None:
            sent["Content-Type"] = "application/json"
        if token:
            sent["Authorization"] = "Bearer " + token
        if cookie:
            sent["Cookie"] = cookie
        if csrf:
            sent["X-CSRF-Token"] = csrf
        sent.update(headers)
        self.connection.request(method, "/api/v1/" + path, text, {k: v for k, v in sent.items() if v is not None})
        response = self.connection.getresponse()
        data = response.read().decode()
        self.headers = response.headers
        if "json" not in response.headers.get("Content-Type", ""):
            return response.status, data
        return response.status, json.loads(data) if data else None

    def close(self):
        self.connection.close()
