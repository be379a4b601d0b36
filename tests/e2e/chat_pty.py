#!/usr/bin/env python3
"""chat_pty.py CRIA MODEL DIR - `cria chat` at a pseudo-terminal, as a person would use it.

Prints a line a check, "PASS name" or "FAIL name: what was on the screen"; chat.sh makes TAP of it.
"""
import json
import os
import pty
import re
import select
import signal
import sys
import time

cria, model, work = sys.argv[1:4]
PROMPT = "> "


class Chat:
    def __init__(self, *options, **env):
        self.screen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm", "LANG": "C.UTF-8", "XDG_STATE_HOME": work + "/state"})
            os.environ.update(env)
            os.execv(cria, [cria, "chat", "-m", model, "--temp", "0", *options])
        self.rc = None

    def read(self, seconds):
        """What comes within this time; False at the end."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        self.screen += data.decode("utf-8", "replace")
        return bool(data)

    def plain(self):
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.screen)

    def wait(self, text, seconds=60):
        """True once `text` is on the screen; what is up to it is taken away."""
        end = time.monotonic() + seconds
        while text not in self.plain():
            if time.monotonic() > end or not self.read(0.2):
                break
        found = text in self.plain()
        if found:
            self.screen = self.plain().split(text, 1)[1]
        return found

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self, seconds=20):
        """Exit status, or -1 if it does not end."""
        stop = time.monotonic() + seconds
        while time.monotonic() < stop:
            self.read(0.1)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return -1


def check(name, ok, chat=None, seen=None):
    print("PASS " + name if ok else "FAIL %s: %r" % (name, chat.screen[-600:] if chat else seen), flush=True)


def saved(name):
    try:
        with open(os.path.join(work, name)) as f:
            return [(m["role"], m["content"]) for m in json.load(f)["messages"]]
    except (OSError, ValueError, KeyError):
        return []


chat = Chat()
check("the prompt comes", chat.wait(PROMPT), chat)
chat.type("What is the capital of France?\n")
check("an answer with its speed", chat.wait("Paris") and chat.wait("tokens/s") and chat.wait(PROMPT), chat)

chat.type("Write a very long story about a dragon, with many chapters.\n")
began = chat.wait("\r\n") and chat.wait(" ")
time.sleep(1)
chat.type("\x03")
check("Ctrl-C stops an answer", began and chat.wait("[stopped", 10) and chat.wait(PROMPT), chat)
chat.type("What is the capital of Italy?\n")
check("and the chat goes on", chat.wait("tokens/s") and chat.wait(PROMPT), chat)

chat.type("rubbish\x03")
check("Ctrl-C takes a line away", chat.wait("^C") and chat.wait(PROMPT), chat)
chat.type("/stats\n")
check("and does not end the chat", chat.wait("answers       3") and chat.wait(PROMPT), chat)

chat.type("\x1b[200~Name one colour.\rAnd one\tanimal.\x1b[201~")
time.sleep(0.5)
chat.type("\n")
check("pasted lines are answered", chat.wait("tokens/s") and chat.wait(PROMPT), chat)
chat.type("first \\\n")
chat.wait(". ")
chat.type("second\n")
check("a backslash goes on", chat.wait("tokens/s") and chat.wait(PROMPT), chat)
chat.type("/save %s/pty.json\n" % work)
check("/save", chat.wait("messages saved") and chat.wait(PROMPT), chat)
asked = [text for role, text in saved("pty.json") if role == "user"]
check("a paste is one message", "Name one colour.\nAnd one\tanimal." in asked)
check("two lines are one message", "first \nsecond" in asked)

before = saved("pty.json")
chat.type("/set temp 3\n/set min-p 0\n/set seed 1\n/set n 40\n/regen\n")
check("/regen answers again", chat.wait("tokens/s", 120) and chat.wait(PROMPT), chat)
chat.type("/save %s/pty2.json\n" % work)
chat.wait("messages saved")
after = saved("pty2.json")
check("with another answer", before[:-1] == after[:-1] and len(after) == len(before) and before != after,
      seen=(before[-2:], after[-2:]))

chat.type("/hlep\n")
check("an unknown command offers the nearest", chat.wait("did you mean /help?") and chat.wait(PROMPT), chat)
chat.type("/sy\t")
check("Tab completes", chat.wait("stem "), chat)  # the rest of /system
time.sleep(0.3)
chat.type("\x03")
chat.wait(PROMPT)
chat.type("\x03")
check("Ctrl-C at an empty prompt asks", chat.wait("Ctrl-C again"), chat)
chat.type("\x03")
check("a second one ends the chat", chat.end() == 0, chat)

chat = Chat()
chat.wait(PROMPT)
chat.type("\x1b[A\x1b[A")
check("the history is there the next time", chat.wait("/save %s/pty2.json" % work), chat)
chat.type("\x01\x0b\x04")
check("Ctrl-D ends the chat", chat.end() == 0, chat)
mode = os.stat(work + "/state/cria/history").st_mode & 0o777
check("the history is private", mode == 0o600)

chat = Chat(NO_COLOR="1")
chat.wait(PROMPT)
chat.type("Hello\n")
check("NO_COLOR", chat.wait("tokens/s") and "\x1b[3" not in chat.screen and "\x1b[1" not in chat.screen, chat)
chat.wait(PROMPT)
os.kill(chat.pid, signal.SIGTERM)
check("SIGTERM ends it in order", chat.end() == 0, chat)
