#!/usr/bin/env python3
"""Records the terminal client for the documentation.

Usage: record.py PICOBOT CAST SCREENS

Plays a short session of `picobot chat` with the demo provider in a pseudo terminal, writes it to CAST in the asciicast v2 format
(play it with `asciinema play`), and three screens as text into the folder SCREENS, for which it needs tmux. Everything runs in
temporary folders and on a free port.
"""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

COLUMNS, ROWS = 100, 30
# Pauses longer than this are shortened in the recording, in seconds.
LONGEST_PAUSE = 1.5
PATIENCE = 60.0

CONFIG = {
    "providers": {"demo": {"type": "demo"}},
    "models": {"demo": {"model_id": "demo"}},
    "agents": {"default": {"provider": "demo", "model": "demo"}},
    "approvals": {"rules": [{"tool": "bash", "decision": "ask"}]},
    "gateway": {"port": 0},
}


class Gateway:
    """A gateway in a home of its own."""

    def __init__(self, binary):
        self.folder = tempfile.TemporaryDirectory()
        self.home = self.folder.name
        self.config = os.path.join(self.home, "config.json")
        with open(self.config, "w", encoding="utf-8") as file:
            json.dump(CONFIG | {"workspace_dir": os.path.join(self.home, "workspace")}, file)
        os.chmod(self.config, 0o600)
        os.mkdir(os.path.join(self.home, "workspace"))
        self.env = {"HOME": self.home, "PATH": os.environ["PATH"], "LANG": "zh_CN.UTF-8", "TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            [binary, "--config", self.config, "gateway"], env=self.env, stderr=subprocess.PIPE, text=True
        )
        for line in self.process.stderr:
            if "listening on" in line:
                return
        sys.exit("the gateway does not start")

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


class Terminal:
    """A pseudo terminal whose output is recorded."""

    def __init__(self, gateway, arguments):
        self.events = []
        self.text = ""
        self.began = time.monotonic()
        self.skipped = 0.0
        self.last = 0.0
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.execve(arguments[0], arguments, gateway.env)
        fcntl.ioctl(self.file, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

    def read(self, seconds):
        """Records what comes within a time."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if not select.select([self.file], [], [], left)[0]:
                return
            try:
                piece = os.read(self.file, 65536)
            except OSError:
                return
            if not piece:
                return
            self.note(piece)

    def note(self, piece):
        now = time.monotonic() - self.began - self.skipped
        if now - self.last > LONGEST_PAUSE:
            self.skipped += now - self.last - LONGEST_PAUSE
            now = self.last + LONGEST_PAUSE
        self.last = now
        text = piece.decode("utf-8", "replace")
        self.text += text
        self.events.append([round(now, 3), "o", text])

    def wait_for(self, text):
        """Reads until a text came after the last look."""
        until = time.monotonic() + PATIENCE
        while text not in self.text:
            if time.monotonic() > until:
                sys.exit(f"no {text!r} came")
            self.read(0.1)
        self.text = ""

    def type(self, text):
        """Types like a person."""
        for character in text:
            os.write(self.file, character.encode())
            self.read(0.06)
        self.read(0.4)

    def press(self, keys):
        os.write(self.file, keys.encode())
        self.read(0.5)

    def save(self, path):
        header = {"version": 2, "width": COLUMNS, "height": ROWS, "title": "picobot chat", "env": {"TERM": "xterm-256color"}}
        with open(path, "w", encoding="utf-8") as file:
            for line in [header, *self.events]:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


def record(binary, gateway, path):
    terminal = Terminal(gateway, [binary, "--config", gateway.config, "chat"])
    terminal.wait_for("online")
    terminal.type("2340 的 17.5% 是多少")
    terminal.press("\r")
    terminal.wait_for("409.5")
    terminal.read(1.0)
    terminal.type("执行 `ls -l`")
    terminal.press("\r")
    terminal.wait_for("approval")
    terminal.read(1.5)
    terminal.press("y")
    terminal.wait_for("exit")
    terminal.read(1.0)
    terminal.type("/")
    terminal.read(1.0)
    terminal.press("\x1b")
    terminal.press("\x7f")
    terminal.type("模拟长文")
    terminal.press("\r")
    terminal.wait_for("24. Section")
    terminal.read(1.5)
    terminal.press("\x13")
    terminal.read(1.5)
    terminal.press("\x1b")
    terminal.press("\x04")
    terminal.read(1.0)
    terminal.save(path)
    os.waitpid(terminal.pid, 0)


class Tmux:
    """A terminal whose screen can be read."""

    def __init__(self, gateway, binary):
        self.socket = os.path.join(gateway.home, "tmux.sock")
        line = f"{binary} --config {gateway.config} chat"
        self.run("new-session", "-d", "-x", "80", "-y", "24", line, env=gateway.env)

    def run(self, *arguments, env=None):
        command = ["tmux", "-u", "-f", "/dev/null", "-S", self.socket, *arguments]
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout

    def wait_for(self, text):
        until = time.monotonic() + PATIENCE
        while text not in self.screen():
            if time.monotonic() > until:
                sys.exit(f"no {text!r} on\n{self.screen()}")
            time.sleep(0.05)

    def screen(self):
        return self.run("capture-pane", "-p")

    def say(self, text):
        self.run("send-keys", "-l", text)
        self.wait_for(text)
        self.run("send-keys", "Enter")

    def save(self, folder, name):
        with open(os.path.join(folder, name + ".txt"), "w", encoding="utf-8") as file:
            file.write("\n".join(line.rstrip() for line in self.screen().rstrip().split("\n")) + "\n")


def screens(binary, gateway, folder):
    tmux = Tmux(gateway, binary)
    try:
        show(tmux, folder)
    finally:
        tmux.run("kill-server")


def show(tmux, folder):
    tmux.wait_for("online")
    tmux.say("2340 的 17.5% 是多少")
    tmux.wait_for("409.5")
    tmux.say("执行 `ls -l`")
    tmux.wait_for("asks for approval")
    tmux.run("send-keys", "-l", "先别急")
    tmux.wait_for("先别急")
    tmux.save(folder, "approval")
    tmux.run("send-keys", "C-u")
    time.sleep(0.5)
    tmux.run("send-keys", "y")
    tmux.wait_for("✓ exit 0 · ")
    tmux.run("send-keys", "-l", "/")
    tmux.wait_for("/new")
    tmux.save(folder, "commands")
    tmux.run("send-keys", "Escape", "BSpace")
    tmux.say("模拟长文")
    tmux.wait_for("with a second level")
    tmux.wait_for("? help")
    tmux.save(folder, "dialog")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    program = os.path.abspath(sys.argv[1])
    os.makedirs(sys.argv[3], exist_ok=True)
    with Gateway(program) as gateway:
        record(program, gateway, sys.argv[2])
    with Gateway(program) as gateway:
        screens(program, gateway, sys.argv[3])
