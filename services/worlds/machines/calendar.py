"""A team calendar: calendars, meetings that may not overlap, attendees, and rooms to meet in."""

from __future__ import annotations

import random
from typing import Any, Final

from services.worlds.machine import Arguments, State
from services.worlds.machines.definition import (
    Fields,
    array,
    choice,
    integer,
    limit,
    machine,
    read,
    text,
    write,
)
from services.worlds.machines.records import (
    cycle,
    day,
    email,
    having,
    ids,
    lookup,
    mentioning,
    minutes_later,
    new_id,
    only,
    page,
    people,
    require,
    some_day,
)

CALENDARS: Final = ("Product team", "Customer visits", "Hiring", "Personal", "Board and finance")
TITLES: Final = (
    "Roadmap review", "Sprint planning", "Candidate interview", "Budget check-in", "Quarterly forecast",
    "Design critique", "Vendor call", "Onboarding session", "Contract walkthrough", "Release rehearsal",
    "Customer workshop", "Security briefing", "Retrospective", "Investor update", "Pricing discussion",
)  # fmt: skip
ROOMS: Final = (("Maple", 4), ("Cedar", 6), ("Willow", 8), ("Aspen", 10), ("Sequoia", 20), ("Rowan", 12))
HOURS: Final = range(9, 17)

F: Final = Fields(
    query=text("search words", "Words to look for in meeting titles."),
    limit=limit(),
    calendar_id=text("calendar number", "Calendar identifier, for example CAL-11803."),
    calendar_name=text("calendar", "Name of the calendar."),
    meeting_id=text("meeting number", "Meeting identifier, for example MTG-62077."),
    meeting_title=text("title", "Title of the meeting.", (
        "Partner onboarding call", "Incident follow-up", "Hiring debrief", "Annual plan review", "Team lunch",
    )),
    meeting_date=text("day", "Day in question, as YYYY-MM-DD.", format="date"),
    start_time=text("start time", "Local start time, as YYYY-MM-DDTHH:MM.",
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d$"),
    end_time=text("end time", "Local end time, as YYYY-MM-DDTHH:MM."),
    duration_minutes=integer(
        "length in minutes", "Length in minutes.", (15, 20, 30, 45, 60), minimum=5, maximum=480, default=30
    ),
    meeting_status=choice("meeting status", "Whether the meeting takes place.", ("confirmed", "cancelled")),
    reminder_minutes=integer(
        "minutes before the start", "Minutes before the start that a reminder is sent.", (5, 12, 25, 40, 90),
        minimum=1, maximum=1440,
    ),
    contact_id=text("contact number", "Contact identifier, for example CON-27540."),
    contact_name=text("name", "Full name of the contact."),
    contact_email=text("email address", "Email address of the contact.", format="email"),
    room_id=text("room number", "Room identifier, for example ROM-31996."),
    room_name=text("room", "Name of the room."),
    capacity=integer("seats", "Number of people the room seats."),
    min_capacity=integer("number of seats", "Only rooms that seat this many.", (4, 5, 6, 8, 10), minimum=1),
    cancellation_note=text("note to the attendees", "Note that is sent to the attendees.", (
        "We will find a new date next month.", "The topic was settled by email.", "The client has postponed.",
        "Too many of us are travelling that day.", "This will be merged into the planning session.",
    )),
)  # fmt: skip
F["attendees"] = array("People who attend.", F.object("contact_id contact_name"))
F["slots"] = array("Free times, earliest first.", F.object("start_time end_time"))

SUMMARY: Final = "meeting_id calendar_id meeting_title start_time end_time meeting_status"
MEETING: Final = SUMMARY + " duration_minutes attendees room_id? reminder_minutes? cancellation_note?"
MEETINGS: Final = F.listing("meetings", SUMMARY)
CONTACT: Final = "contact_id contact_name contact_email"
ROOM: Final = "room_id room_name capacity"


def _meeting(state: State, meeting_id: str) -> Any:
    meeting = lookup(state["meetings"], meeting_id, "Meeting")
    confirmed = meeting["meeting_status"] == "confirmed"
    require(confirmed, "precondition_failed", f"Meeting {meeting_id} was cancelled and can't be changed.")
    return meeting


def _clash(state: State, start: str, end: str, besides: str = "", **place: str) -> Any:
    """The first confirmed meeting of a calendar or room that overlaps this time, None if it is free."""
    taken = having(state["meetings"], meeting_status="confirmed", **place)
    overlaps = (e for e in taken if e["start_time"] < end and start < e["end_time"])
    return next((e for e in overlaps if e["meeting_id"] != besides), None)


def _must_be_free(state: State, start: str, end: str, besides: str = "", **place: str) -> None:
    clash = _clash(state, start, end, besides, **place)
    taken = clash and f"{clash['meeting_title']} ({clash['meeting_id']}) already takes {clash['start_time']}."
    require(clash is None, "conflict", taken or "")


def initial(rng: random.Random) -> State:
    """Five calendars, 15 meetings in the coming two weeks, none at the same time, 12 contacts and 6 rooms."""
    state: State = {"today": some_day(rng), "last_number": {}, "meetings": {}}
    state["calendars"] = {
        calendar_id: {"calendar_id": calendar_id, "calendar_name": name}
        for calendar_id, name in zip(ids(rng, state, "CAL", len(CALENDARS)), CALENDARS, strict=True)
    }
    state["contacts"] = {
        contact_id: {
            "contact_id": contact_id,
            "contact_name": name,
            "contact_email": email(name, "tandemworks.io"),
        }
        for contact_id, name in zip(ids(rng, state, "CON", 12), people(rng, 12), strict=True)
    }
    state["rooms"] = {
        room_id: {"room_id": room_id, "room_name": name, "capacity": seats}
        for room_id, (name, seats) in zip(ids(rng, state, "ROM", len(ROOMS)), ROOMS, strict=True)
    }
    regulars = list(state["contacts"].values())[:8]
    titles, places = rng.sample(TITLES, len(TITLES)), cycle(rng, state["calendars"], 15)
    times = rng.sample([(days, hour) for days in (1, 2, 3, 7, 8, 9) for hour in HOURS], 15)
    for meeting_id, title, place, (days, hour) in zip(
        ids(rng, state, "MTG", 15), titles, places, sorted(times), strict=True
    ):
        start, minutes = f"{day(state['today'], days)}T{hour:02d}:00", rng.choice((30, 45, 60))
        state["meetings"][meeting_id] = {
            "meeting_id": meeting_id, "calendar_id": place, "meeting_title": title, "start_time": start,
            "end_time": minutes_later(start, minutes), "meeting_status": "confirmed",
            "duration_minutes": minutes,
            "attendees": [only(c, "contact_id contact_name") for c in rng.sample(regulars, 3)],
        }  # fmt: skip
    for meeting_id in rng.sample(list(state["meetings"]), 5):
        state["meetings"][meeting_id]["room_id"] = rng.choice(list(state["rooms"])[:4])
    return state


@read(
    "",
    F.listing("calendars", "calendar_id calendar_name"),
    "see my calendars",
    "list my calendars",
)
def list_calendars(state: State, _args: Arguments) -> Any:
    """List all calendars that can be read and written."""
    found = list(state["calendars"].values())
    return page("calendars", found, len(found), "calendar_id calendar_name")


@read(
    "calendar_id meeting_date? limit?",
    MEETINGS,
    "see what is on a calendar",
    "list the meetings of a calendar",
)
def list_meetings(state: State, args: Arguments) -> Any:
    """List the confirmed meetings of a calendar in order of time, optionally those of one day."""
    lookup(state["calendars"], args["calendar_id"], "Calendar")
    found = having(state["meetings"], calendar_id=args["calendar_id"], meeting_status="confirmed")
    found = [meeting for meeting in found if meeting["start_time"].startswith(args.get("meeting_date", ""))]
    return page("meetings", sorted(found, key=lambda e: e["start_time"]), args["limit"], SUMMARY)


@read("query limit?", MEETINGS, "find a meeting by its title", "search my calendars for a meeting")
def search_meetings(state: State, args: Arguments) -> Any:
    """Search the meetings of all calendars by words in the title."""
    return page(
        "meetings",
        mentioning(state["meetings"].values(), args["query"], "meeting_title"),
        args["limit"],
        SUMMARY,
    )


@read("meeting_id", F.object(MEETING), "look at a meeting", "see who attends a meeting")
def get_meeting(state: State, args: Arguments) -> Any:
    """Get a meeting with its time, attendees, room and reminder."""
    return lookup(state["meetings"], args["meeting_id"], "Meeting")


@read(
    "calendar_id meeting_date duration_minutes?",
    F.object("calendar_id meeting_date slots"),
    "find a free time on a calendar",
    "list the free times on a calendar",
)
def find_free_slots(state: State, args: Arguments) -> Any:
    """Find times between 09:00 and 17:00 of a day when a calendar is free, at full and half hours."""
    lookup(state["calendars"], args["calendar_id"], "Calendar")
    slots = []
    for half_hour in range(2 * len(HOURS)):
        start = minutes_later(f"{args['meeting_date']}T{HOURS[0]:02d}:00", 30 * half_hour)
        end = minutes_later(start, args["duration_minutes"])
        late = end > f"{args['meeting_date']}T17:00"
        if not late and _clash(state, start, end, calendar_id=args["calendar_id"]) is None:
            slots.append({"start_time": start, "end_time": end})
    return {**only(args, "calendar_id meeting_date"), "slots": slots}


@write(
    "calendar_id meeting_title start_time duration_minutes?",
    F.object(MEETING),
    "put a meeting on a calendar",
    "schedule a meeting on a calendar",
)
def create_meeting(state: State, args: Arguments) -> Any:
    """Create a meeting in a calendar. Fails with a conflict when the calendar is taken at that time."""
    lookup(state["calendars"], args["calendar_id"], "Calendar")
    end = minutes_later(args["start_time"], args["duration_minutes"])
    _must_be_free(state, args["start_time"], end, calendar_id=args["calendar_id"])
    meeting_id = new_id(state, "MTG")
    state["meetings"][meeting_id] = {
        "meeting_id": meeting_id, **only(args, "calendar_id meeting_title start_time duration_minutes"),
        "end_time": end, "meeting_status": "confirmed", "attendees": [],
    }  # fmt: skip
    return state["meetings"][meeting_id]


@write("meeting_id start_time", F.object(MEETING), "move a meeting to a new time", "reschedule a meeting")
def reschedule_meeting(state: State, args: Arguments) -> Any:
    """Move a meeting to another start time; its length stays. Its calendar and room must be free then."""
    meeting, start = _meeting(state, args["meeting_id"]), args["start_time"]
    end = minutes_later(start, meeting["duration_minutes"])
    _must_be_free(state, start, end, args["meeting_id"], calendar_id=meeting["calendar_id"])
    if "room_id" in meeting:
        _must_be_free(state, start, end, args["meeting_id"], room_id=meeting["room_id"])
    meeting |= {"start_time": start, "end_time": end}
    return meeting


@write("meeting_id cancellation_note?", F.object(MEETING), "cancel a meeting", "call off a meeting")
def cancel_meeting(state: State, args: Arguments) -> Any:
    """Cancel a meeting and free its room; attendees are told, with a note if one is given."""
    meeting = _meeting(state, args["meeting_id"])
    meeting.pop("room_id", None)
    meeting |= {"meeting_status": "cancelled", **only(args, "cancellation_note")}
    return meeting


@write(
    "meeting_id reminder_minutes",
    F.object(MEETING),
    "set a reminder for a meeting",
    "add a reminder to a meeting",
)
def set_meeting_reminder(state: State, args: Arguments) -> Any:
    """Set how many minutes before its start everyone who attends a meeting is reminded."""
    meeting = _meeting(state, args["meeting_id"])
    meeting["reminder_minutes"] = args["reminder_minutes"]
    return meeting


@read(
    "query limit?",
    F.listing("contacts", CONTACT),
    "look up a contact",
    "find a contact by name",
)
def search_contacts(state: State, args: Arguments) -> Any:
    """Search contacts by words in their name."""
    return page(
        "contacts",
        mentioning(state["contacts"].values(), args["query"], "contact_name"),
        args["limit"],
        CONTACT,
    )


@write(
    "meeting_id contact_id",
    F.object(MEETING),
    "invite a contact to a meeting",
    "add an attendee to a meeting",
)
def invite_to_meeting(state: State, args: Arguments) -> Any:
    """Add a contact to the attendees of a meeting."""
    meeting, contact = (
        _meeting(state, args["meeting_id"]),
        lookup(state["contacts"], args["contact_id"], "Contact"),
    )
    attending = any(attendee["contact_id"] == args["contact_id"] for attendee in meeting["attendees"])
    require(not attending, "conflict", f"{contact['contact_name']} attends this meeting already.")
    meeting["attendees"].append(only(contact, "contact_id contact_name"))
    return meeting


@read(
    "min_capacity? limit?",
    F.listing("rooms", ROOM),
    "see which meeting rooms there are",
    "list the meeting rooms",
)
def list_meeting_rooms(state: State, args: Arguments) -> Any:
    """List meeting rooms, optionally only those that seat a number of people."""
    found = [room for room in state["rooms"].values() if room["capacity"] >= args.get("min_capacity", 0)]
    return page("rooms", found, args["limit"], ROOM)


@write("meeting_id room_id", F.object(MEETING), "book a room for a meeting", "reserve a room for a meeting")
def book_meeting_room(state: State, args: Arguments) -> Any:
    """Book a room for a meeting at the meeting's time. Fails with a conflict when the room is taken then."""
    meeting = _meeting(state, args["meeting_id"])
    lookup(state["rooms"], args["room_id"], "Room")
    _must_be_free(state, meeting["start_time"], meeting["end_time"], room_id=args["room_id"])
    meeting["room_id"] = args["room_id"]
    return meeting


def _upcoming(state: State) -> list[Any]:
    return having(state["meetings"], meeting_status="confirmed")


def _days(state: State) -> list[str]:
    return [day(state["today"], days) for days in (1, 2, 3, 4, 7, 8, 9, 10, 11)]


def _free_starts(state: State) -> list[str]:
    """Hours at which all calendars are free for an hour."""
    starts = [f"{on}T{hour:02d}:00" for on in _days(state) for hour in HOURS]
    return [start for start in starts if _clash(state, start, minutes_later(start, 60)) is None]


def _newcomers(state: State) -> list[str]:
    busy = {a["contact_id"] for meeting in state["meetings"].values() for a in meeting["attendees"]}
    return [contact for contact in state["contacts"] if contact not in busy]


def _roomless(state: State) -> list[Any]:
    return [meeting for meeting in _upcoming(state) if "room_id" not in meeting]


def _rooms_for_any(state: State) -> list[str]:
    """Rooms that are free whenever a meeting without a room takes place."""
    times = [(meeting["start_time"], meeting["end_time"]) for meeting in _roomless(state)]
    return [r for r in state["rooms"] if not any(_clash(state, *time, room_id=r) for time in times)]


MACHINE: Final = machine(
    "calendar",
    "Team Calendar",
    "Shared calendars of a team: meetings, attendees, reminders, free times and meeting rooms.",
    domain="calendar",
    fields=F,
    tools=(
        list_calendars, list_meetings, search_meetings, get_meeting, find_free_slots, create_meeting,
        reschedule_meeting, cancel_meeting, set_meeting_reminder, search_contacts, invite_to_meeting,
        list_meeting_rooms, book_meeting_room,
    ),
    initial=initial,
    pools={
        "search_meetings.query": lambda s: [e["meeting_title"].lower() for e in s["meetings"].values()],
        "search_contacts.query": lambda s: [c["contact_name"] for c in s["contacts"].values()],
        "calendar_id": lambda s: list(s["calendars"]),
        "list_meetings.calendar_id": lambda s: list(dict.fromkeys(e["calendar_id"] for e in _upcoming(s))),
        "meeting_date": _days,
        "start_time": _free_starts,
        "meeting_id": lambda s: [e["meeting_id"] for e in _upcoming(s)],
        "get_meeting.meeting_id": lambda s: list(s["meetings"]),
        "contact_id": _newcomers,
        "book_meeting_room.meeting_id": lambda s: [e["meeting_id"] for e in _roomless(s)],
        "room_id": _rooms_for_any,
    },
)  # fmt: skip
