"""A real Label Studio with people in it: what they see, and how they answer."""

from __future__ import annotations

import re
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from linnet.labels import local_label_studio
from tests.labels.contract import choice

ENVIRONMENT = Path(__file__).parents[2] / ".linnet" / "label-studio" / "venv"
"""Label Studio itself is installed once a checkout; its data is new in every test."""
_EMPTY = ENVIRONMENT.with_name(f"empty-{local_label_studio.VERSION}")
"""Its database after the first start, with the state file that knows its user: to make it takes a minute."""
_DATABASE = "label_studio.sqlite3"


def take_empty(home: Path) -> None:
    """Puts an empty database into a server's folder before its first start, where one was made already."""
    if _EMPTY.exists():
        (home / "data").mkdir(parents=True)
        shutil.copy(_EMPTY / _DATABASE, home / "data")
        shutil.copy(_EMPTY / "server.json", home)


def keep_empty(home: Path) -> None:
    """Keeps the database of a server that was just started for the first time."""
    if _EMPTY.exists():
        return
    made = Path(tempfile.mkdtemp(dir=_EMPTY.parent))
    database = home / "data" / _DATABASE
    with closing(sqlite3.connect(database)) as one, closing(sqlite3.connect(made / _DATABASE)) as two:
        one.backup(two)
    shutil.copy(home / "server.json", made)
    made.rename(_EMPTY)


@dataclass
class People:
    """Those who answer on one server."""

    server: local_label_studio.Studio
    tokens: dict[str, str] = field(default_factory=dict)
    """API token of each annotator."""

    def client(self, who: str = "") -> httpx.Client:
        token = self.tokens[who] if who else self.server.token
        headers = {"Authorization": f"Token {token}"}
        return httpx.Client(base_url=self.server.url, headers=headers, timeout=120)

    def project(self, title: str) -> int:
        """Its number; 0: there is none."""
        with self.client() as client:
            found = client.get("/api/projects/", params={"page_size": 100}).json()["results"]
            return next((int(one["id"]) for one in found if one["title"] == title), 0)

    def hooks(self, title: str) -> list[dict[str, Any]]:
        with self.client() as client:
            number = self.project(title)
            found = client.get("/api/webhooks/", params={"project": number}).json() if number else []
            return list(found)

    def tasks(self, title: str = "Linnet photos") -> list[dict[str, Any]]:
        with self.client() as client:
            query = {"project": self.project(title), "page_size": 1000, "fields": "all"}
            found: list[dict[str, Any]] = client.get("/api/tasks", params=query).json()["tasks"]
            return found

    def answer(self, who: str, answers: Mapping[int, str]) -> None:
        """One person answers tasks by their id, as the web page would; None of them twice."""
        with self.client(who) as client:

            def give(item: tuple[int, str]) -> None:
                path, label = f"/api/tasks/{item[0]}/annotations", item[1]
                body = {"result": [], "was_cancelled": True} if label == "skip" else choice(label)
                client.post(path, json={**body, "lead_time": 2.0}).raise_for_status()

            with ThreadPoolExecutor(2) as pool:
                list(pool.map(give, answers.items()))

    def invite(self, *names: str) -> None:
        """Makes the annotators' accounts as people make them: by an invitation."""
        with self.client() as owner:
            invitation = self.server.url + owner.get("/api/invite").json()["invite_url"]
        for name in names:
            with httpx.Client(base_url=self.server.url, timeout=120, follow_redirects=True) as person:
                page = person.get(invitation).text
                hidden = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
                assert hidden is not None
                form = {"email": f"{name}@example.org", "password": f"secret-of-{name}"}
                form["csrfmiddlewaretoken"] = hidden[1]
                person.post(invitation, data=form, headers={"Referer": invitation}).raise_for_status()
                self.tokens[name] = str(person.get("/api/current-user/token").json()["token"])
