"""A small server with vLLM's way of speaking and a mind of its own: it fails, dies and refuses as told."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]


class StubServer(ThreadingHTTPServer):
    """Writes 5, 5, 5, … and ends with a stop token where it has room for three tokens."""

    daemon_threads = True

    def __init__(self, tokenizer: Any, model: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tokenizer = tokenizer
        self.model = model
        self.key: str | None = None
        self.troubles: list[int | None] = []
        """What becomes of the next completions: a status, or None for a connection that breaks."""
        self.alter: Callable[[Body], Body | None] = lambda answer: answer
        """What it does to its own answers; None refuses."""
        self.before_answer: Callable[[Body], None] = lambda body: None
        self.bodies: list[Body] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def complete(self, body: Body) -> Body:
        """Three tokens at most, and two more a request after that: texts come in pieces."""
        room = body["max_tokens"]
        ids = [5, 5, self.tokenizer.eos_token_id] if room >= 3 else [5] * room
        choice = {"text": "", "token_ids": ids, "finish_reason": "stop" if room >= 3 else "length"}
        return {"choices": [choice], "usage": {"prompt_tokens": len(body["prompt"])}}


class Handler(BaseHTTPRequestHandler):
    server: StubServer

    def do_GET(self) -> None:
        if self.server.key and self.headers["Authorization"] != f"Bearer {self.server.key}":
            self.answer(401, {"error": "Unauthorized"})
        else:
            self.answer(
                200, {"data": [{"id": self.server.model, "root": "/models/one", "max_model_len": 64}]}
            )

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/tokenize":
            tokens = self.server.tokenizer.encode(body["prompt"], add_special_tokens=False)
            self.answer(200, {"tokens": tokens})
            return
        self.server.bodies.append(body)
        self.server.before_answer(body)
        trouble = self.server.troubles.pop(0) if self.server.troubles else 200
        answer = self.server.alter(self.server.complete(body))
        if trouble is None:
            self.close_connection = True
        elif trouble != 200:
            self.answer(trouble, {"error": {"message": "in trouble"}})
        elif answer is None:
            self.answer(400, {"error": {"message": "prompt must be a string"}})
        else:
            self.answer(200, answer)

    def answer(self, status: int, content: Body) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the test tells what matters."""


def serve(tokenizer: Any, model: str) -> StubServer:
    server = StubServer(tokenizer, model)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server
