"""The verbs of tool names and what they do to records. Ours: read off many real tool definitions."""

from __future__ import annotations

from typing import Final, Literal

from services.worlds.words import listed

Verb = Literal["list", "search", "get", "create", "update", "delete", "act"]


def _table(**words: str) -> dict[str, Verb]:
    verbs: dict[str, Verb] = {}
    for verb in ("list", "search", "get", "create", "update", "delete", "act"):
        for word in words[verb].split():
            verbs.setdefault(word, verb)
    return verbs


VERBS: Final = _table(
    list="list enumerate browse",
    search="search find query filter discover suggest autocomplete",
    get="get fetch read retrieve show view describe load lookup obtain inspect return display "
    "download see pull",
    create="create add new insert post make register upload import send book schedule place invite save "
    "store write append record log submit issue compose reserve draft prepare",
    update="update edit modify change set patch rename replace put upsert configure adjust mark assign alter "
    "amend override reorder move tag",
    delete="delete remove destroy clear purge drop trash erase unregister deregister cancelall del",
    act="cancel close open archive unarchive activate deactivate enable disable approve reject accept "
    "decline start stop pause resume restart reboot publish unpublish lock unlock block unblock "
    "mute unmute pin unpin follow unfollow like unlike share merge complete confirm verify "
    "validate test execute run trigger retry refresh sync reset restore revert refund capture "
    "void pay transfer convert translate calculate compute analyze analyse generate render parse "
    "extract detect classify predict compare attach detach link unlink connect disconnect "
    "associate disassociate subscribe unsubscribe join leave enroll grant revoke authorize "
    "authenticate login logout sign encrypt decrypt encode decode scan scrape crawl navigate "
    "click screenshot play copy clone duplicate migrate promote resend undo scale rotate export "
    "check count estimate evaluate solve summarize ping ask geocode simulate forecast preview "
    "suspend terminate release recover swap process apply initiate launch deploy build install "
    "uninstall invoke call request report redeem exchange checkout ship deliver dispatch review "
    "rate vote upvote downvote flag track watch star unstar favorite favourite hide unhide skip "
    "redo charge settle dismiss acknowledge snooze resolve reopen escalate split combine finalize "
    "preauthorize provision reboot flush rebuild reload renew extend expire poll wait batch match "
    "recommend rank score measure monitor diagnose audit debug format resize crop compress rotate "
    "unrotate upgrade downgrade transcribe synthesize speak draw plot think reply respond forward "
    "notify remind manage untrash unmask redact mask tokenize index reindex train tune "
    "register_all allocate deallocate claim withdraw deposit swap bulk unassign untag empty end "
    "begin finish stream push commit checkin rollback switch toggle type press hover scroll "
    "select drag fill submitall print fork browseurl identify recognize recognise",
)
READS: Final = frozenset(
    listed(
        "verify validate test convert translate calculate compute analyze analyse parse extract "
        "detect classify predict compare encode decode scan scrape crawl export check count estimate "
        "evaluate solve summarize ping ask geocode simulate forecast preview match recommend rank "
        "score measure monitor diagnose audit debug format render recognize recognise identify "
        "transcribe think poll track plot"
    )
)
NOUNS_TOO: Final = frozenset(
    listed(
        "post record list issue order report test query run log display import export share link view "
        "note play match transfer book schedule place address copy request review comment start set "
        "store reset check sign host index like lock stream scan draft filter search tag score rate "
        "count release process build call branch vote flag watch star charge format forecast preview "
        "plot branch commit batch fork bulk move change end type select print track monitor audit "
        "draw switch rank estimate upload download update deposit claim service show feed cover sync "
        "backup mask project present"
    )
)
_PARTICIPLES: Final = {
    "pay": "paid", "send": "sent", "void": "voided", "run": "running", "start": "running", "resume": "active",
    "restart": "running", "reboot": "running", "stop": "stopped", "hide": "hidden", "withdraw": "withdrawn",
    "undo": "undone", "unlock": "unlocked", "open": "open", "reopen": "open", "enable": "enabled",
    "split": "split", "build": "built", "ship": "shipped", "leave": "left", "activate": "active",
    "deactivate": "inactive", "unarchive": "active", "restore": "active", "suspend": "suspended",
    "scan": "scanned", "swap": "swapped", "submit": "submitted", "commit": "committed", "plan": "planned",
}  # fmt: skip
_DOUBLED: Final = frozenset(listed("stop pin unpin cancel swap scan drop flag"))


def participle(verb: str) -> str:
    """The state that something is in after the verb: ``"archive"`` gives "archived", no verb "completed"."""
    if verb in _PARTICIPLES:
        return _PARTICIPLES[verb]
    if verb == "cancel":
        return "cancelled"
    if base(verb) is None:
        return "completed"
    if verb in _DOUBLED:
        return f"{verb}{verb[-1]}ed"
    if verb.endswith("e"):
        return f"{verb}d"
    if verb.endswith("y") and verb[-2:-1] not in {"a", "e", "i", "o", "u"}:
        return f"{verb[:-1]}ied"
    return f"{verb}ed"


def base(word: str) -> str | None:
    """The base form of a known verb in base form, third person or gerund; None for other words."""
    if word in VERBS:
        return word
    candidates = [word[:-1]] if word.endswith("s") else []
    if word.endswith("es"):
        candidates.append(word[:-2])
    if word.endswith("ies"):
        candidates.append(word[:-3] + "y")
    if word.endswith("ing"):
        candidates += [word[:-3], word[:-3] + "e", word[:-4]]
    return next((candidate for candidate in candidates if candidate in VERBS), None)
