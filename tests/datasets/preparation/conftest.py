import contextlib
import importlib.util
import re
import sys
import threading
from dataclasses import replace
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Tuple

import pytest

from mmdclpp.datasets.preparation import coco, download, voc

from . import published


class Server(ThreadingHTTPServer):
    """Serves ``files``; what it does wrong is a matter of the attributes."""

    def __init__(self) -> None:
        super().__init__(('127.0.0.1', 0), _Handler)
        self.url = f'http://127.0.0.1:{self.server_port}'
        self.files: Dict[str, bytes] = {}
        self.honours_ranges = True
        self.honours_if_range = True
        self.tells_length = True
        self.validators: Dict[str, str] = {}  # headers that tell the version of the file
        self.cuts: List[int] = []  # for each next answer, the number of bytes after which the connection ends
        self.failures: List[int] = []  # the status of each next answer
        self.requests: List[Tuple[str, Optional[str]]] = []  # name and Range header of each


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name, wanted = self.path.lstrip('/'), self.headers['Range']
        self.server.requests.append((name, wanted))
        if self.server.failures:
            return self.send_error(self.server.failures.pop(0))
        if name not in self.server.files:
            return self.send_error(404)
        content, start = self.server.files[name], 0
        same = self.headers['If-Range'] in (None, *self.server.validators.values()) or not self.server.honours_if_range
        if wanted and self.server.honours_ranges and same:
            start = int(re.fullmatch(r'bytes=(\d+)-', wanted)[1])
            if start >= len(content):
                self.send_response(416)
                self.send_header('Content-Range', f'bytes */{len(content)}')
                return self.end_headers()
            self.send_response(206)
            self.send_header('Content-Range', f'bytes {start}-{len(content) - 1}/{len(content)}')
        else:
            self.send_response(200)
        for header in self.server.validators.items():
            self.send_header(*header)
        if self.server.tells_length:
            self.send_header('Content-Length', str(len(content) - start))
        self.end_headers()
        end = start + self.server.cuts.pop(0) if self.server.cuts else len(content)
        with contextlib.suppress(ConnectionError):  # the client may leave, as when it finds the size wrong
            self.wfile.write(content[start:end])

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A web server on this machine, and no pause between attempts."""
    monkeypatch.setenv('no_proxy', '*')
    monkeypatch.setattr(download, '_FIRST_PAUSE', 0)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def publish(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[Dict[str, bytes]], None]:
    """Serve archives, and make them the official ones."""

    def _publish(archives: Dict[str, bytes]) -> None:
        def like(archive):
            content = archives.get(archive.name)
            return (
                replace(archive, size=len(content), md5=archive.md5 and md5(content).hexdigest(), unpacked=10000)
                if content
                else archive
            )

        server.files.update(archives)
        for module, names in (
            (coco, ('ANNOTATIONS', 'STUFF')),
            (voc, ('TRAINVAL_2007', 'TEST_2007', 'TRAINVAL_2012', 'SBD')),
        ):
            for name in names:
                monkeypatch.setattr(module, name, like(getattr(module, name)))
        monkeypatch.setattr(coco, 'IMAGES', {split: like(archive) for split, archive in coco.IMAGES.items()})

    return _publish


@pytest.fixture(scope='session')
def coco_archives() -> Dict[str, bytes]:
    return published.coco()


@pytest.fixture(scope='session')
def voc_archives() -> Dict[str, bytes]:
    return published.voc()


@pytest.fixture
def published_coco(publish, coco_archives, monkeypatch: pytest.MonkeyPatch) -> None:
    """COCO is small, in archives and official numbers."""
    publish(coco_archives)
    monkeypatch.setattr(coco, 'NUM_IMAGES', published.NUM_COCO)
    monkeypatch.setattr(coco, 'NUM_ANNOTATIONS', {split: 3 * number for split, number in published.NUM_COCO.items()})
    monkeypatch.setattr(coco, 'NUM_CATEGORIES', 3)


@pytest.fixture
def published_voc(publish, voc_archives, monkeypatch: pytest.MonkeyPatch) -> None:
    """VOC is small, in archives and official numbers."""
    publish(voc_archives)
    numbers = {split: len(names) for split, names in published.VOC2007.items()}
    monkeypatch.setattr(voc, 'NUM_2007', numbers)
    monkeypatch.setattr(voc, 'NUM_OBJECTS_2007', numbers)
    monkeypatch.setattr(voc, 'NUM_2012', {split: len(names) for split, names in published.VOC2012.items()})
    monkeypatch.setattr(voc, 'NUM_AUGMENTED', 4)


@pytest.fixture
def call(repo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Call a tool in an empty folder; gives its exit status."""
    folder = repo / 'tools' / 'dataset_converters'
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(tmp_path)

    def _call(tool, *args):
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, args)])
        spec = importlib.util.spec_from_file_location(f'tool_{tool}', folder / f'{tool}.py')
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.main()

    return _call
