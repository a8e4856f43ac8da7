"""Processes of a job that watch each other, so that none waits for ever for one that is dead or hangs."""

import asyncio
import hmac
import json
import socket
import threading
from contextlib import suppress
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

LOST_STATUS = 69  # EX_UNAVAILABLE of sysexits.h: another process is not there, or does not go on

_BEAT = 1.0  # seconds from one sign of life to the next, at most
_CONNECT = 10.0  # seconds for each address of rank 0
_FAREWELL = 5.0  # seconds in which a process that ends with an error tells why, before the others speak of it
_SAVING = 60.0  # seconds that a checkpoint which is being written is given


class Place(NamedTuple):
    """How far a process is.

    Attributes:
        position (Tuple[int, ...]): The further, the greater.
        told (str): The same in words.
        saving (bool): Whether it writes something that should be finished.
    """

    position: Tuple[int, ...] = ()
    told: str = 'at the beginning'
    saving: bool = False


class _Peer:
    """What is known of another process."""

    def __init__(self) -> None:
        self.place = Place()
        self.silent = 0.0
        self.failed = False
        self.writer: Optional[asyncio.StreamWriter] = None  # while there is a connection


class RankWatch:
    """One process's part in the watch, in a thread of its own.

    Every process has a connection to rank 0, over which they exchange signs of life. Rank 0 watches all others, which
    watch rank 0. Whoever finds that a process is dead (its connection is closed without a farewell), silent, or has
    failed, tells it once; rank 0 also finds that no process has gone on for too long, and which ones are behind. What
    rank 0 finds, all others learn. Then all end.

    Seconds are counted in beats which the watching process itself has lived through: a job that is suspended as a
    whole, and continued hours later, goes on.

    Args:
        rank (int): This process.
        names (Sequence[str]): Of all processes, for messages.
        beat_timeout (float): Seconds of silence that are too long; 0 for no limit.
        progress_timeout (float): Seconds without progress of any process that are too long; 0 for no limit.
        tell (Callable): Called with the message by the process that finds something, in the watch's thread.
        leave (Callable): Called with the same message in every process, to end it.
        warn (Callable): Called with the reason if this process cannot take part.
    """

    def __init__(
        self,
        rank: int,
        names: Sequence[str],
        beat_timeout: float,
        progress_timeout: float,
        tell: Callable[[str], None],
        leave: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self.place = Place()
        self._rank = rank
        self._names = names
        self._limits = (beat_timeout, progress_timeout)
        self._beat = min([_BEAT, *(limit / 4 for limit in self._limits if limit)])
        self._tell, self._leave, self._warn = tell, leave, warn
        self._peers = {other: _Peer() for other in range(len(names)) if (other == 0) != (rank == 0)}
        self._places: Dict[int, Place] = {}
        self._stalled = 0.0
        self._found = False
        self._farewell = ''

    @staticmethod
    def listen() -> socket.socket:
        """Open rank 0's port, a free one, for IPv4 and IPv6 where there are both."""
        if socket.has_dualstack_ipv6():
            return socket.create_server(('', 0), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(('', 0))

    def start(self, key: str, hosts: Sequence[str], port: int, server: Optional[socket.socket] = None) -> None:
        """Begin.

        Args:
            key (str): A secret of this job, without which nobody is let in.
            hosts (Sequence[str]): Where rank 0 may be reached; the first that answers is taken.
            port (int): Its port.
            server (socket.socket, optional): Of rank 0, from :meth:`listen`. Defaults to None.
        """
        self._key, self._hosts, self._port, self._server = key, hosts, port, server
        started = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._watch(started)), name='rank watch', daemon=True
        )
        self._thread.start()
        started.wait()

    def close(self, failed: bool = False, wait: float = 0.0) -> None:
        """Say farewell, and leave neither thread nor socket behind.

        Args:
            failed (bool): Whether this process ends with an error, so that the others have to end too. Defaults to
                False.
            wait (float): Seconds to wait for the finding that another process is the cause. Defaults to 0.
        """
        self._thread.join(wait)
        self._farewell = 'failed' if failed else 'done'
        with suppress(RuntimeError):  # the watch has ended
            self._loop.call_soon_threadsafe(self._leaving.set)
        self._thread.join()

    async def _watch(self, started: threading.Event) -> None:
        self._loop, self._leaving = asyncio.get_running_loop(), asyncio.Event()
        started.set()
        counting = asyncio.create_task(self._count())
        counting.add_done_callback(lambda _: self._leaving.set())
        if self._server is not None:
            server = await asyncio.start_server(self._admit, sock=self._server)
        else:
            joining = asyncio.create_task(self._join())  # noqa: F841  the loop itself keeps no reference
        await self._leaving.wait()
        if self._server is not None:
            server.close()
        for peer in self._peers.values():
            if peer.writer is not None:
                _send(peer.writer, farewell=self._farewell, place=self.place)
                peer.writer.close()
                with suppress(OSError, asyncio.TimeoutError):
                    await asyncio.wait_for(peer.writer.wait_closed(), _BEAT)
        if counting.done():
            counting.result()  # raises what ended it

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Let another process in, in rank 0."""
        message = {}
        with suppress(OSError, ValueError, asyncio.TimeoutError):
            message = json.loads(await asyncio.wait_for(reader.readline(), _CONNECT))
        known = isinstance(message, dict) and hmac.compare_digest(str(message.get('key')).encode(), self._key.encode())
        if not known or message.get('rank') not in self._peers:
            writer.close()
            return
        _send(writer, place=self.place)
        self._peers[message['rank']].place = _place(message)
        await self._listen(message['rank'], reader, writer)

    async def _join(self) -> None:
        """Connect to rank 0."""
        for host in self._hosts:
            with suppress(OSError, ValueError, asyncio.TimeoutError):
                reader, writer = await asyncio.wait_for(asyncio.open_connection(host, self._port), _CONNECT)
                _send(writer, key=self._key, rank=self._rank, place=self.place)
                if answer := await asyncio.wait_for(reader.readline(), _CONNECT):
                    self._peers[0].place = _place(json.loads(answer))
                    await self._listen(0, reader, writer)
                    return
                writer.close()
        tried = ', '.join(f'{host}:{self._port}' for host in self._hosts)
        self._warn(f'{self._names[self._rank]} does not reach rank 0 ({tried}): it is not watched')

    async def _listen(self, rank: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hear what another process tells, until it leaves or is dead."""
        peer = self._peers[rank]
        peer.writer, peer.silent = writer, 0.0
        left = False
        with suppress(OSError, ValueError):
            while line := await reader.readline():
                message, peer.silent = json.loads(line), 0.0
                if 'found' in message:
                    self._found = True
                    await self._end(message['found'])
                    continue
                peer.place = _place(message)
                if 'farewell' in message:
                    left, peer.failed = True, message['farewell'] == 'failed'
                    break
                if self._rank == 0:
                    _send(writer, place=self.place)
        peer.writer = None
        writer.close()
        if not left:
            await self._find(
                f'{self._names[rank]} has died, last seen {peer.place.told}: the log of its machine may tell why, such '
                'as too little memory; --resume goes on from the last checkpoint'
            )

    async def _count(self) -> None:
        """Count the silence of each process, and the time without progress."""
        while True:
            await asyncio.sleep(self._beat)
            for rank, peer in self._peers.items():
                peer.silent += self._beat
                if peer.failed and peer.silent >= _FAREWELL:
                    await self._find(
                        f'{self._names[rank]} has ended with an error, last seen {peer.place.told}: its own message '
                        'tells why'
                    )
                if peer.writer is None:
                    continue
                if self._limits[0] and peer.silent >= self._limits[0]:
                    await self._find(
                        f'{self._names[rank]} has not answered for {peer.silent:.0f} s, last seen {peer.place.told}: '
                        'it is stopped, or its machine or network is down; --resume goes on from the last checkpoint'
                    )
                elif self._rank and peer.silent <= 2 * self._beat:  # else it has enough to answer
                    _send(peer.writer, place=self.place)
            if self._rank == 0 and self._limits[1]:
                await self._compare()

    async def _compare(self) -> None:
        """Find who is behind, if no process has gone on for too long."""
        places = {rank: peer.place for rank, peer in self._peers.items() if peer.writer is not None}
        places[0] = self.place
        if places != self._places:
            self._places, self._stalled = places, 0.0
            return
        self._stalled += self._beat
        if self._stalled < self._limits[1] or len(places) == 1:
            return
        last = min(place.position for place in places.values())
        behind = [rank for rank, place in sorted(places.items()) if place.position == last]
        others = len(places) - len(behind)
        who = ', '.join(self._names[rank] for rank in behind[:4])
        who = f'{who} and {len(behind) - 4} more' if len(behind) > 4 else who
        verb = 'hangs' if len(behind) == 1 else 'hang'
        await self._find(
            f'{who} {verb}: no progress for {self._stalled:.0f} s {places[behind[0]].told}'
            f'{", and the others wait" if others else ""}: look at its data, file system, device and network, or raise '
            'progress_timeout of RankWatchHook; --resume goes on from the last checkpoint'
        )

    async def _find(self, message: str) -> None:
        if self._found or self._leaving.is_set():
            return
        self._found = True
        self._tell(message)
        await self._end(message)

    async def _end(self, message: str) -> None:
        """End, in rank 0 after the others."""
        for _ in range(round(_SAVING / 0.1)):
            if not self.place.saving:
                break
            await asyncio.sleep(0.1)
        if self._rank == 0:
            told: List[_Peer] = [
                peer for peer in self._peers.values() if peer.writer is not None and peer.silent <= 2 * self._beat
            ]
            for peer in told:
                _send(peer.writer, found=message)
            for _ in range(20):
                if all(peer.writer is None for peer in told):
                    break
                await asyncio.sleep(0.1)
        self._leaving.set()
        self._leave(message)


def _send(writer: asyncio.StreamWriter, **message: Any) -> None:
    writer.write(json.dumps(message).encode() + b'\n')


def _place(message: Dict[str, Any]) -> Place:
    position, *others = message['place']
    return Place(tuple(position), *others)
