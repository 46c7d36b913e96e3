"""A team chat: channels, members, messages with threads, reactions and pins, and direct messages."""

from __future__ import annotations

import random
from typing import Any, Final

from services.worlds.machine import Arguments, State
from services.worlds.machines.definition import (
    Fields,
    array,
    choice,
    flag,
    integer,
    limit,
    machine,
    read,
    text,
    write,
)
from services.worlds.machines.records import (
    cycle,
    email,
    find,
    having,
    ids,
    lookup,
    mentioning,
    new_id,
    only,
    page,
    people,
    require,
)

CHANNELS: Final = (
    ("general", "Announcements for everyone"), ("design-review", "Feedback on mock-ups and copy"),
    ("platform-ops", "Deployments, alerts and capacity"), ("customer-voice", "What customers tell us"),
    ("release-train", "What ships and when"), ("lunch-plans", "Where to eat today"),
)  # fmt: skip
LINES: Final = (
    "The staging deployment finished without errors", "Can someone review the new checkout copy",
    "Two customers asked for an export to spreadsheets", "Release 4.2 is planned for Thursday morning",
    "The ramen place on Canal Street has a free table", "Disk usage on the search cluster reached 81 percent",
    "I uploaded the latest mock-ups for the settings page", "The onboarding survey closes tomorrow",
    "Rollback is ready in case the migration fails", "Support saw fewer login tickets this week",
    "The icons on the pricing page look blurry", "Please add your topics to the weekly agenda",
)  # fmt: skip
ME: Final = "you"

F: Final = Fields(
    query=text("search words", "Words to look for in messages."),
    limit=limit(),
    channel_id=text("channel number", "Channel identifier, for example CHN-20931."),
    channel_name=text("channel name", "Name of the channel, lower case with hyphens.", (
        "hiring-loop", "incident-0412", "book-club", "website-relaunch", "data-quality",
    ), pattern="^[a-z0-9-]{2,40}$"),
    channel_purpose=text("purpose of the channel", "What the channel is for.", (
        "Coordinate interviews and feedback", "Follow up on last night's outage",
        "One good book a month", "Everything about the new website", "Find and fix bad records",
    )),
    is_archived=flag("archived", "Whether the channel is archived."),
    include_archived=flag("with archived channels", "Whether to list archived channels too.", default=False),
    member_id=text("member number", "Member identifier, for example MBR-40288."),
    member_name=text("name", "Full name of the member."),
    member_email=text("email address", "Email address the member signs in with.", format="email"),
    presence=choice("presence", "Whether the member is online.", ("online", "away", "offline")),
    message_id=text("message number", "Message identifier, for example MSG-71503."),
    message_text=text("message text", "Text of the message.", (
        "The demo moves to 15:30, same room as last time.", "Thanks, that solved it for me.",
        "I will take the first shift on Saturday.", "Here is the summary everyone asked for.",
        "Could we get a second pair of eyes on this before noon?",
    )),
    author=text("author", "Who wrote the message."),
    posted_at=integer("position", "Position of the message in the order of posting."),
    reply_count=integer("replies", "Number of replies in the thread of the message."),
    is_pinned=flag("pinned", "Whether the message is pinned in its channel."),
    parent_message_id=text("original message", "Message that this one replies to, if it is a reply."),
    emoji=choice("reaction", "Emoji to react with.", ("thumbs_up", "eyes", "tada", "heart", "check_mark")),
)  # fmt: skip
F["reactions"] = array("Names of the emojis you reacted with.", {"type": "string"})

CHANNEL: Final = "channel_id channel_name channel_purpose is_archived"
MEMBER: Final = "member_id member_name member_email presence"
MESSAGE: Final = "message_id channel_id? member_id? author message_text posted_at parent_message_id?"
FULL: Final = MESSAGE + " reactions is_pinned"
MESSAGES: Final = F.listing("messages", MESSAGE)
F["replies"] = array("Replies, oldest first.", F.object(MESSAGE))


def _message(state: State, author: str, words: str, **where: str) -> Any:
    message_id = new_id(state, "MSG")
    state["messages"][message_id] = {
        "message_id": message_id, **where, "author": author, "message_text": words,
        "posted_at": len(state["messages"]) + 1, "reactions": [], "is_pinned": False,
    }  # fmt: skip
    return state["messages"][message_id]


def initial(rng: random.Random) -> State:
    """Six channels, 14 members (five of them new and in no channel) and 24 messages, some of them replies."""
    state: State = {"last_number": {}, "messages": {}}
    ids(rng, state, "MSG", 1)
    names = people(rng, 14)
    state["members"] = {
        member_id: {
            "member_id": member_id, "member_name": name, "member_email": email(name, "driftline.dev"),
            "presence": rng.choice(("online", "away", "offline")),
        }
        for member_id, name in zip(ids(rng, state, "MBR", 14), names, strict=True)
    }  # fmt: skip
    regulars = list(state["members"])[:9]
    state["channels"] = {
        channel_id: {
            "channel_id": channel_id, "channel_name": name, "channel_purpose": purpose, "is_archived": False,
            "members": rng.sample(regulars, rng.randrange(4, 8)),
        }
        for channel_id, (name, purpose) in zip(ids(rng, state, "CHN", len(CHANNELS)), CHANNELS, strict=True)
    }  # fmt: skip
    places = cycle(rng, state["channels"], 24)
    for index, place in enumerate(places):
        author = state["members"][rng.choice(state["channels"][place]["members"])]["member_name"]
        _message(state, author, LINES[index % 12] if index < 12 else f"Update: {LINES[index % 12].lower()}",
                 channel_id=place)  # fmt: skip
    for message in rng.sample(list(state["messages"].values()), 8):
        author = rng.choice(names[:9])
        _message(state, author, rng.choice(("Looking into it now", "Agreed, go ahead", "Done, thank you")),
                 channel_id=message["channel_id"], parent_message_id=message["message_id"])  # fmt: skip
    return state


@read(
    "include_archived?",
    F.listing("channels", CHANNEL),
    "see the chat channels",
    "list the channels of the team",
)
def list_channels(state: State, args: Arguments) -> Any:
    """List channels with their purpose, without archived ones unless asked for."""
    found = [c for c in state["channels"].values() if args["include_archived"] or not c["is_archived"]]
    return page("channels", found, len(found), CHANNEL)


@read("member_email", F.object(MEMBER), "look up a chat member", "find a chat member by email")
def find_member(state: State, args: Arguments) -> Any:
    """Find a member of the team by the email address they sign in with."""
    return find(state["members"], "member_email", args["member_email"], "member")


@read("channel_id", F.listing("members", MEMBER), "see who is in a channel", "list the members of a channel")
def list_channel_members(state: State, args: Arguments) -> Any:
    """List the members of a channel and whether they are online."""
    channel = lookup(state["channels"], args["channel_id"], "Channel")
    found = [state["members"][member] for member in channel["members"]]
    return page("members", found, len(found), MEMBER)


@read(
    "channel_id limit?",
    MESSAGES,
    "read the latest messages of a channel",
    "see the latest messages of a channel",
)
def list_channel_messages(state: State, args: Arguments) -> Any:
    """List the messages of a channel, latest first, replies included."""
    lookup(state["channels"], args["channel_id"], "Channel")
    found = having(state["messages"], channel_id=args["channel_id"])
    return page("messages", found[::-1], args["limit"], MESSAGE)


@read("query limit?", MESSAGES, "search the chat messages", "find messages about a topic")
def search_messages(state: State, args: Arguments) -> Any:
    """Search the messages of all channels by words in their text, oldest first."""
    found = mentioning(state["messages"].values(), args["query"], "message_text")
    return page("messages", found, args["limit"], MESSAGE)


@read(
    "message_id",
    F.object(FULL + " replies reply_count"),
    "read the thread of a message",
    "see the replies to a message",
)
def get_message_thread(state: State, args: Arguments) -> Any:
    """Get a message with its reactions and all replies to it."""
    message = lookup(state["messages"], args["message_id"], "Message")
    replies = having(state["messages"], parent_message_id=args["message_id"])
    answers = [only(reply, MESSAGE) for reply in replies]
    return {**message, "replies": answers, "reply_count": len(replies)}


def _open(state: State, channel_id: str) -> Any:
    channel = lookup(state["channels"], channel_id, "Channel")
    archived = f"The channel {channel['channel_name']} is archived and takes no changes."
    require(not channel["is_archived"], "precondition_failed", archived)
    return channel


@write(
    "channel_id message_text", F.object(FULL), "post a message in a channel", "write a message in a channel"
)
def post_message(state: State, args: Arguments) -> Any:
    """Post a message in a channel."""
    _open(state, args["channel_id"])
    return _message(state, ME, args["message_text"], channel_id=args["channel_id"])


@write("message_id message_text", F.object(FULL), "reply to a message", "answer a message")
def reply_to_message(state: State, args: Arguments) -> Any:
    """Reply to a message of a channel, in its thread."""
    message = lookup(state["messages"], args["message_id"], "Message")
    require("channel_id" in message, "precondition_failed", "Direct messages have no threads.")
    _open(state, message["channel_id"])
    return _message(
        state,
        ME,
        args["message_text"],
        channel_id=message["channel_id"],
        parent_message_id=message.get("parent_message_id", args["message_id"]),
    )


@write("message_id emoji", F.object(FULL), "react to a message", "add an emoji to a message")
def add_reaction(state: State, args: Arguments) -> Any:
    """React to a message with an emoji, once per emoji."""
    message = lookup(state["messages"], args["message_id"], "Message")
    again = args["emoji"] in message["reactions"]
    require(not again, "conflict", f"You reacted to this message with {args['emoji']} already.")
    message["reactions"].append(args["emoji"])
    return message


@write("message_id", F.object(FULL), "pin a message", "pin a message to the top of its channel")
def pin_message(state: State, args: Arguments) -> Any:
    """Pin a message in its channel."""
    message = lookup(state["messages"], args["message_id"], "Message")
    require("channel_id" in message, "precondition_failed", "Direct messages can't be pinned.")
    require(not message["is_pinned"], "conflict", f"Message {args['message_id']} is pinned already.")
    message["is_pinned"] = True
    return message


@write("channel_name channel_purpose?", F.object(CHANNEL), "start a new channel", "create a chat channel")
def create_channel(state: State, args: Arguments) -> Any:
    """Create a channel. Names are unique, archived channels included."""
    taken = having(state["channels"], channel_name=args["channel_name"])
    require(not taken, "conflict", f"A channel named {args['channel_name']} exists already.")
    channel_id = new_id(state, "CHN")
    state["channels"][channel_id] = {
        "channel_id": channel_id, "channel_name": args["channel_name"],
        "channel_purpose": args.get("channel_purpose", "General discussion"), "is_archived": False,
        "members": [],
    }  # fmt: skip
    return only(state["channels"][channel_id], CHANNEL)


@write(
    "channel_id member_id",
    F.object("channel_id channel_name member_id member_name"),
    "add a member to a channel",
    "invite a member to a channel",
)
def add_channel_member(state: State, args: Arguments) -> Any:
    """Add a member of the team to a channel."""
    channel, member = _open(state, args["channel_id"]), lookup(state["members"], args["member_id"], "Member")
    inside = args["member_id"] in channel["members"]
    require(not inside, "conflict", f"{member['member_name']} is in this channel already.")
    channel["members"].append(args["member_id"])
    return only(channel | member, "channel_id channel_name member_id member_name")


@write("channel_id", F.object(CHANNEL), "archive a channel", "close a channel")
def archive_channel(state: State, args: Arguments) -> Any:
    """Archive a channel; it can be read but takes no more messages."""
    channel = _open(state, args["channel_id"])
    channel["is_archived"] = True
    return only(channel, CHANNEL)


@write(
    "member_id message_text",
    F.object(FULL),
    "send a member a direct message",
    "write a member a direct message",
)
def send_direct_message(state: State, args: Arguments) -> Any:
    """Send a direct message to a member of the team."""
    lookup(state["members"], args["member_id"], "Member")
    return _message(state, ME, args["message_text"], member_id=args["member_id"])


def _open_channels(state: State) -> list[str]:
    return [channel["channel_id"] for channel in having(state["channels"], is_archived=False)]


def _newcomers(state: State) -> list[str]:
    return [k for k in state["members"] if not any(k in c["members"] for c in state["channels"].values())]


def _channel_messages(state: State, **fields: Any) -> list[str]:
    """Messages that stand in a channel which is not archived."""
    places = _open_channels(state)
    return [m["message_id"] for m in having(state["messages"], **fields) if m.get("channel_id") in places]


MACHINE: Final = machine(
    "chat",
    "Team Chat",
    "Team chat: channels and their members, messages, threads, reactions, pins and direct messages.",
    domain="messaging",
    fields=F,
    tools=(
        list_channels, find_member, list_channel_members, list_channel_messages, search_messages,
        get_message_thread, post_message, reply_to_message, add_reaction, pin_message, create_channel,
        add_channel_member, archive_channel, send_direct_message,
    ),
    initial=initial,
    pools={
        "query": lambda s: [" ".join(m["message_text"].split()[-2:]) for m in s["messages"].values()],
        "channel_id": _open_channels,
        "list_channel_members.channel_id": lambda s: [k for k, c in s["channels"].items() if c["members"]],
        "list_channel_messages.channel_id": lambda s: [
            k for k in s["channels"] if having(s["messages"], channel_id=k)
        ],
        "member_email": lambda s: [m["member_email"] for m in s["members"].values()],
        "member_id": lambda s: list(s["members"]),
        "add_channel_member.member_id": _newcomers,
        "message_id": lambda s: list(s["messages"]),
        "reply_to_message.message_id": _channel_messages,
        "add_reaction.message_id": lambda s: [k for k, m in s["messages"].items() if not m["reactions"]],
        "pin_message.message_id": lambda s: _channel_messages(s, is_pinned=False),
    },
)  # fmt: skip
