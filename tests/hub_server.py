"""A server on the loopback that answers as the Hugging Face Hub does, and misbehaves when a model's name says so.

Prints its two ports: the hub's, and that of a second host to which large files are redirected. Large files (.safetensors)
answer with 302, X-Linked-Etag (SHA-256) and X-Linked-Size; small ones with their git blob SHA-1 as ETag.
Appends one JSON line a request to the file named by its argument.
"""
import hashlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = bytes((i * 7 + (i >> 8) * 13) & 255 for i in range(1 << 20))
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "vocab.txt": b"[PAD]\n[UNK]\n",
    "empty.txt": b"",
    "1_Pooling/config.json": b'{"pooling_mode_mean_tokens": true}',
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"not wanted beside safetensors",
    "tf_model.h5": b"not wanted",
    "onnx/model.onnx": b"not wanted",
    ".gitattributes": b"not wanted",
}
lock = threading.Lock()
counts = {}
log = open(sys.argv[1], "a", encoding="utf-8")


def count(key):
    with lock:
        counts[key] = counts.get(key, 0) + 1
        return counts[key]


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        headers.setdefault("Content_Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def record(self):
        with lock:
            line = {"method": self.command, "path": self.path, "port": self.server.server_port,
                    "token": self.headers.get("Authorization", ""), "range": self.headers.get("Range", "")}
            log.write(json.dumps(line) + "\n")
            log.flush()

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.record()
        parts = self.path.lstrip("/").split("/")
        if parts[:2] == ["api", "models"]:
            return self.repository("/".join(parts[2:4]), parts[-1])
        if parts[0] == "cdn":
            return self.content("/".join(parts[1:3]), WEIGHTS)
        moved = parts[0] == "moved"
        parts = parts[1:] if moved else parts
        name, path = "/".join(parts[:2]), "/".join(parts[4:])
        if parts[2:4] != ["resolve", COMMIT] or path not in FILES:
            return self.answer(404, X_Error_Code="EntryNotFound")
        if path == "model.safetensors":
            digest = hashlib.sha256(WEIGHTS).hexdigest()
            if name == "test/wrong-checksum":
                digest = hashlib.sha256(b"other").hexdigest()
            return self.answer(302, b"Found. Redirecting", X_Repo_Commit=COMMIT, X_Linked_Etag=f'"{digest}"',
                               X_Linked_Size=str(len(WEIGHTS)),
                               Location=f"http://127.0.0.1:{other.server_port}/cdn/{name}/weights?signature=a%2Fb")
        if name == "test/relative" and not moved:
            return self.answer(307, X_Repo_Commit=COMMIT, Location="/moved" + self.path)
        return self.answer(200, FILES[path], ETag=f'"{git_sha1(FILES[path])}"', X_Repo_Commit=COMMIT)

    def repository(self, name, revision):
        if name == "test/private" and self.headers.get("Authorization") != "Bearer secret":
            return self.answer(401, b'{"error":"Invalid username or password."}')
        if name == "test/gated":
            return self.answer(403, X_Error_Code="GatedRepo")
        if name == "test/busy" and count("busy") < 3:
            return self.answer(429, Retry_After="1")
        if name == "test/flaky" and count("flaky") < 3:
            return self.answer(500)
        if name == "test/nonsense":
            return self.answer(200, b"<html>welcome</html>")
        if name == "test/loop":
            return self.answer(302, Location=self.path)
        if not name.startswith("test/") or name == "test/missing":
            return self.answer(404, X_Error_Code="RepoNotFound")
        if revision not in ("main", "v1", COMMIT):
            return self.answer(404, X_Error_Code="RevisionNotFound")
        files = list(FILES)
        if name == "test/escape":
            files.append("../../escaped.json")
        if name == "test/no-weights":
            files = ["config.json", "tf_model.h5"]
        body = json.dumps({"id": name, "sha": COMMIT, "siblings": [{"rfilename": f} for f in files]}).encode()
        return self.answer(200, body, Content_Type="application/json")

    def content(self, name, data):
        first, status = 0, 200
        if self.headers.get("Range") and name != "test/no-ranges":
            first, status = int(self.headers["Range"].split("=")[1].split("-")[0]), 206
            if first >= len(data):
                return self.answer(416)
        stop = len(data)
        if name == "test/dropped" and count("dropped") <= 3:
            stop = first + 200_000
        if name == "test/slow":
            time.sleep(1.5)
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) - first))
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        self.wfile.write(data[first:stop])
        if stop != len(data):
            self.close_connection = True
            self.connection.close()


hub = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
other = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=other.serve_forever, daemon=True).start()
print(hub.server_port, other.server_port, flush=True)
hub.serve_forever()
