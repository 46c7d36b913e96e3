"""A clinic: patients, practitioners with open slots, appointments, prescriptions and lab results."""

from __future__ import annotations

import random
from typing import Any, Final

from services.worlds.machine import Arguments, State
from services.worlds.machines.definition import (
    Fields,
    choice,
    integer,
    limit,
    machine,
    number,
    read,
    text,
    write,
)
from services.worlds.machines.records import (
    cycle,
    day,
    email,
    find,
    having,
    ids,
    lookup,
    new_id,
    only,
    page,
    people,
    phone,
    require,
    some_day,
)

SPECIALTIES: Final = ("general practice", "dermatology", "cardiology", "physiotherapy")
MEDICINES: Final = (
    ("Lisinopril", "10 mg once daily"), ("Metformin", "500 mg twice daily"),
    ("Loratadine", "10 mg as needed"),
    ("Salbutamol inhaler", "2 puffs as needed"), ("Levothyroxine", "75 mcg every morning"),
    ("Omeprazole", "20 mg before breakfast"),
)  # fmt: skip
TESTS: Final = (
    ("Vitamin D", "ng/mL", 18, 60), ("HbA1c", "percent", 5, 8), ("LDL cholesterol", "mg/dL", 80, 190),
    ("Ferritin", "ng/mL", 12, 200), ("TSH", "mIU/L", 1, 6),
)  # fmt: skip

F: Final = Fields(
    limit=limit(),
    patient_id=text("patient number", "Patient identifier, for example PAT-83017."),
    patient_name=text("patient name", "Full name of the patient."),
    patient_email=text("email address", "Email address in the patient's record.", format="email"),
    date_of_birth=text("date of birth", "Date of birth.", format="date"),
    contact_phone=text("phone number", "Phone number the patient can be reached at.", (
        "+1-415-555-0182", "+1-617-555-0147", "+1-312-555-0129", "+1-503-555-0163", "+1-720-555-0118",
    )),
    practitioner_id=text("practitioner number", "Practitioner identifier, for example DOC-14406."),
    practitioner_name=text("practitioner", "Full name of the practitioner."),
    specialty=choice("specialty", "Medical specialty.", SPECIALTIES),
    slot_id=text("slot number", "Identifier of a bookable time, for example SLT-59031."),
    starts_at=text("time", "Local start time, as YYYY-MM-DDTHH:MM."),
    from_date=text("first day", "Only slots on or after this date, as YYYY-MM-DD.", format="date"),
    appointment_id=text("appointment number", "Appointment identifier, for example APT-70264."),
    appointment_status=choice(
        "appointment status", "Status of the appointment.", ("booked", "arrived", "completed", "cancelled")
    ),
    visit_reason=text("reason for the visit", "Why the patient comes, in a few words.", (
        "Persistent cough for two weeks", "Annual check-up", "Knee pain after running",
        "Itchy rash on both arms", "Follow-up on blood pressure",
    )),
    cancellation_reason=choice(
        "reason for cancelling", "Why the appointment is cancelled.",
        ("feeling_better", "schedule_conflict", "other_doctor", "travel"), default="schedule_conflict",
    ),
    prescription_id=text("prescription number", "Prescription identifier, for example RXP-30952."),
    medicine=text("medicine", "Name of the medicine."),
    dosage=text("dosage", "How the medicine is taken."),
    refills_left=integer("refills left", "Number of refills that can still be requested."),
    pharmacy=choice("pharmacy", "Pharmacy that prepares the refill.", (
        "Elm Street Pharmacy", "Harbour Pharmacy", "Northgate Pharmacy",
    ), default="Elm Street Pharmacy"),
    refill_id=text("refill number", "Identifier of a refill request."),
    ready_on=text("ready date", "Date the refill can be picked up.", format="date"),
    lab_result_id=text("lab result number", "Lab result identifier, for example LAB-62290."),
    test_name=text("test", "Name of the test."),
    test_value=number("value", "Measured value."),
    test_unit=text("unit", "Unit of the value."),
    interpretation=choice("interpretation", "How the value compares with the reference.", ("normal", "high")),
    collected_on=text("sample date", "Date the sample was taken.", format="date"),
    reviewed_note=text("note", "What the practitioner says about the result."),
)  # fmt: skip

PATIENT: Final = "patient_id patient_name patient_email date_of_birth contact_phone"
PRACTITIONER: Final = "practitioner_id practitioner_name specialty"
SLOT: Final = "slot_id practitioner_id starts_at"
APPOINTMENT: Final = (
    "appointment_id patient_id practitioner_id slot_id starts_at visit_reason appointment_status "
    "cancellation_reason?"
)
SUMMARY: Final = "appointment_id practitioner_id starts_at visit_reason appointment_status"
PRESCRIPTION: Final = "prescription_id patient_id medicine dosage refills_left"
RESULT: Final = "lab_result_id patient_id test_name collected_on"
REFILL: Final = "refill_id prescription_id medicine pharmacy ready_on refills_left"


def initial(rng: random.Random) -> State:
    """10 patients, 6 practitioners with 48 slots, 18 appointments, 12 prescriptions and 12 lab results."""
    state: State = {"today": some_day(rng), "last_number": {}, "slots": {}, "refills": {}, "appointments": {}}
    names = people(rng, 16)
    state["patients"] = {
        patient_id: {
            "patient_id": patient_id, "patient_name": name, "patient_email": email(name, "inboxly.me"),
            "date_of_birth": day("1950-01-01", rng.randrange(20_000)), "contact_phone": phone(rng),
        }
        for patient_id, name in zip(ids(rng, state, "PAT", 10), names[:10], strict=True)
    }  # fmt: skip
    specialties = cycle(rng, SPECIALTIES, 6)
    state["practitioners"] = {
        key: {"practitioner_id": key, "practitioner_name": f"Dr. {name}", "specialty": specialty}
        for key, name, specialty in zip(ids(rng, state, "DOC", 6), names[10:], specialties, strict=True)
    }
    slot_ids = iter(ids(rng, state, "SLT", 48))
    for practitioner_id in state["practitioners"]:
        for days, hour in sorted(rng.sample([(d, h) for d in (0, 1, 2, 3, 4) for h in range(9, 16)], 8)):
            slot_id = next(slot_ids)
            state["slots"][slot_id] = {
                "slot_id": slot_id, "practitioner_id": practitioner_id,
                "starts_at": f"{day(state['today'], days)}T{hour:02d}:{rng.choice(('00', '30'))}",
            }  # fmt: skip
    statuses = cycle(rng, ("booked", "booked", "booked", "completed", "cancelled", "arrived"), 18)
    reasons, owners = F["visit_reason"].say, cycle(rng, state["patients"], 18)
    taken = rng.sample(list(state["slots"].values()), 18)
    numbers = ids(rng, state, "APT", 18)
    for appointment_id, slot, owner, status in zip(numbers, taken, owners, statuses, strict=True):
        appointment = state["appointments"][appointment_id] = {
            "appointment_id": appointment_id, "patient_id": owner, **slot,
            "visit_reason": rng.choice(reasons), "appointment_status": status,
        }  # fmt: skip
        if status == "cancelled":
            appointment["cancellation_reason"] = "travel"
        if status == "completed":
            appointment["starts_at"] = f"{day(state['today'], -rng.randrange(3, 60))}T10:00"
    ids(rng, state, "RFL", 1)
    state["prescriptions"] = {
        prescription_id: {
            "prescription_id": prescription_id, "patient_id": owner, "medicine": medicine, "dosage": dosage,
            "refills_left": index % 4,
        }
        for index, (prescription_id, owner, (medicine, dosage)) in enumerate(
            zip(ids(rng, state, "RXP", 12), cycle(rng, state["patients"], 12), MEDICINES * 2, strict=True)
        )
    }  # fmt: skip
    owners, state["lab_results"] = cycle(rng, state["patients"], 12), {}
    for lab_result_id, owner in zip(ids(rng, state, "LAB", 12), owners, strict=True):
        name, unit, low, high = rng.choice(TESTS)
        value = rng.randrange(low * 10, high * 10) / 10
        normal = value < low + 0.7 * (high - low)
        state["lab_results"][lab_result_id] = {
            "lab_result_id": lab_result_id, "patient_id": owner, "test_name": name, "test_value": value,
            "test_unit": unit, "collected_on": day(state["today"], -rng.randrange(4, 50)),
            "interpretation": "normal" if normal else "high",
            "reviewed_note": "No action needed." if normal else "Please book a follow-up visit.",
        }  # fmt: skip
    return state


@read("patient_email", F.object(PATIENT), "look up a patient", "find a patient by email")
def find_patient(state: State, args: Arguments) -> Any:
    """Find a patient by the email address in their record."""
    return find(state["patients"], "patient_email", args["patient_email"], "patient")


@write(
    "patient_id contact_phone",
    F.object(PATIENT),
    "change a patient's phone number",
    "update a patient's phone number",
)
def update_patient_phone(state: State, args: Arguments) -> Any:
    """Change the phone number in a patient's record."""
    patient = lookup(state["patients"], args["patient_id"], "Patient")
    patient["contact_phone"] = args["contact_phone"]
    return patient


@read(
    "specialty? limit?",
    F.listing("practitioners", PRACTITIONER),
    "see which practitioners there are",
    "list the practitioners",
)
def list_practitioners(state: State, args: Arguments) -> Any:
    """List practitioners, optionally only those of one specialty."""
    found = having(state["practitioners"], specialty=args.get("specialty"))
    return page("practitioners", found, args["limit"], PRACTITIONER)


def _held(state: State) -> list[str]:
    live = (a for a in state["appointments"].values() if a["appointment_status"] in {"booked", "arrived"})
    return [appointment["slot_id"] for appointment in live]


def _open_slots(state: State) -> list[str]:
    held = _held(state)
    return [slot_id for slot_id in state["slots"] if slot_id not in held]


@read(
    "practitioner_id from_date? limit?",
    F.listing("slots", SLOT),
    "see the open slots of a practitioner",
    "list a practitioner's open slots",
)
def list_open_slots(state: State, args: Arguments) -> Any:
    """List the bookable times of a practitioner, earliest first, optionally from a date on."""
    lookup(state["practitioners"], args["practitioner_id"], "Practitioner")
    free = [state["slots"][slot_id] for slot_id in _open_slots(state)]
    found = [slot for slot in free if slot["practitioner_id"] == args["practitioner_id"]]
    found = [slot for slot in found if slot["starts_at"] >= args.get("from_date", "")]
    return page("slots", sorted(found, key=lambda slot: slot["starts_at"]), args["limit"], SLOT)


@read(
    "patient_id appointment_status? limit?",
    F.listing("appointments", SUMMARY),
    "see a patient's appointments",
    "list the appointments of a patient",
)
def list_patient_appointments(state: State, args: Arguments) -> Any:
    """List the appointments of a patient, earliest first, optionally only those with a given status."""
    lookup(state["patients"], args["patient_id"], "Patient")
    status = args.get("appointment_status")
    found = having(state["appointments"], patient_id=args["patient_id"], appointment_status=status)
    return page("appointments", sorted(found, key=lambda a: a["starts_at"]), args["limit"], SUMMARY)


@read("appointment_id", F.object(APPOINTMENT), "look at an appointment", "check when an appointment is")
def get_appointment(state: State, args: Arguments) -> Any:
    """Get an appointment with its time, practitioner, reason and status."""
    return lookup(state["appointments"], args["appointment_id"], "Appointment")


def _free_slot(state: State, slot_id: str) -> Any:
    slot = lookup(state["slots"], slot_id, "Slot")
    require(slot_id not in _held(state), "conflict", f"The slot at {slot['starts_at']} is taken.")
    return slot


@write(
    "patient_id slot_id visit_reason",
    F.object(APPOINTMENT),
    "book an appointment for a patient",
    "make an appointment for a patient",
)
def book_appointment(state: State, args: Arguments) -> Any:
    """Book an open slot for a patient. Fails with a conflict when the slot is taken."""
    lookup(state["patients"], args["patient_id"], "Patient")
    slot, appointment_id = _free_slot(state, args["slot_id"]), new_id(state, "APT")
    state["appointments"][appointment_id] = {
        "appointment_id": appointment_id, **slot, **only(args, "patient_id visit_reason"),
        "appointment_status": "booked",
    }  # fmt: skip
    return state["appointments"][appointment_id]


def _booked(state: State, appointment_id: str) -> Any:
    appointment = lookup(state["appointments"], appointment_id, "Appointment")
    status = appointment["appointment_status"]
    changeable = status == "booked"
    require(changeable, "precondition_failed", f"Appointment {appointment_id} is {status}, not booked.")
    return appointment


@write(
    "appointment_id slot_id",
    F.object(APPOINTMENT),
    "move an appointment to a new slot",
    "reschedule an appointment",
)
def reschedule_appointment(state: State, args: Arguments) -> Any:
    """Move a booked appointment to another open slot; the old one becomes free."""
    appointment = _booked(state, args["appointment_id"])
    appointment |= _free_slot(state, args["slot_id"])
    return appointment


@write(
    "appointment_id cancellation_reason?",
    F.object(APPOINTMENT),
    "cancel an appointment",
    "call off an appointment",
)
def cancel_appointment(state: State, args: Arguments) -> Any:
    """Cancel a booked appointment; its slot becomes free."""
    appointment = _booked(state, args["appointment_id"])
    appointment |= {"appointment_status": "cancelled", **only(args, "cancellation_reason")}
    return appointment


@write(
    "appointment_id",
    F.object(APPOINTMENT),
    "check a patient in for an appointment",
    "record a patient's arrival for an appointment",
)
def check_in_patient(state: State, args: Arguments) -> Any:
    """Record that the patient of a booked appointment has arrived at the clinic."""
    appointment = _booked(state, args["appointment_id"])
    appointment["appointment_status"] = "arrived"
    return appointment


@read(
    "patient_id",
    F.listing("prescriptions", PRESCRIPTION),
    "see a patient's prescriptions",
    "list a patient's prescriptions",
)
def list_prescriptions(state: State, args: Arguments) -> Any:
    """List the prescriptions of a patient with dosage and refills left."""
    lookup(state["patients"], args["patient_id"], "Patient")
    found = having(state["prescriptions"], patient_id=args["patient_id"])
    return page("prescriptions", found, len(found), PRESCRIPTION)


@write(
    "prescription_id pharmacy?",
    F.object(REFILL),
    "request a refill of a prescription",
    "order a refill of a prescription",
)
def request_refill(state: State, args: Arguments) -> Any:
    """Request a refill of a prescription at a pharmacy; it is ready two days later."""
    prescription = lookup(state["prescriptions"], args["prescription_id"], "Prescription")
    left = prescription["refills_left"]
    require(left > 0, "limit_exceeded", f"Prescription {args['prescription_id']} has no refills left.")
    prescription["refills_left"] -= 1
    refill_id = new_id(state, "RFL")
    state["refills"][refill_id] = {
        "refill_id": refill_id, **only(prescription, "prescription_id medicine refills_left"),
        "pharmacy": args["pharmacy"], "ready_on": day(state["today"], 2),
    }  # fmt: skip
    return state["refills"][refill_id]


@read(
    "patient_id limit?",
    F.listing("lab_results", RESULT),
    "see a patient's lab results",
    "list the lab results of a patient",
)
def list_lab_results(state: State, args: Arguments) -> Any:
    """List the lab results of a patient, without values, latest first."""
    lookup(state["patients"], args["patient_id"], "Patient")
    found = having(state["lab_results"], patient_id=args["patient_id"])
    return page("lab_results", sorted(found, key=lambda r: r["collected_on"])[::-1], args["limit"], RESULT)


@read(
    "lab_result_id",
    F.object(RESULT + " test_value test_unit interpretation reviewed_note"),
    "read a lab result",
    "look at a lab result",
)
def get_lab_result(state: State, args: Arguments) -> Any:
    """Get a lab result with its value, unit and the practitioner's note."""
    return lookup(state["lab_results"], args["lab_result_id"], "Lab result")


def _with(state: State, table: str) -> list[str]:
    """Patients who have something in this table."""
    return [patient for patient in state["patients"] if having(state[table], patient_id=patient)]


def _practitioners_with_slots(state: State) -> list[str]:
    open_slots = [state["slots"][slot_id]["practitioner_id"] for slot_id in _open_slots(state)]
    return [key for key in state["practitioners"] if key in open_slots]


MACHINE: Final = machine(
    "clinic",
    "Clinic Front Desk",
    "Outpatient clinic: patient records, practitioners and slots, appointments, prescriptions, lab results.",
    domain="health",
    fields=F,
    tools=(
        find_patient, update_patient_phone, list_practitioners, list_open_slots, list_patient_appointments,
        get_appointment, book_appointment, reschedule_appointment, cancel_appointment, check_in_patient,
        list_prescriptions, request_refill, list_lab_results, get_lab_result,
    ),
    initial=initial,
    pools={
        "patient_email": lambda s: [p["patient_email"] for p in s["patients"].values()],
        "patient_id": lambda s: list(s["patients"]),
        "list_patient_appointments.patient_id": lambda s: _with(s, "appointments"),
        "list_prescriptions.patient_id": lambda s: _with(s, "prescriptions"),
        "list_lab_results.patient_id": lambda s: _with(s, "lab_results"),
        "practitioner_id": _practitioners_with_slots,
        "from_date": lambda s: [day(s["today"], days) for days in (0, 1, 2)],
        "slot_id": _open_slots,
        "appointment_id": lambda s: [
            a["appointment_id"] for a in having(s["appointments"], appointment_status="booked")
        ],
        "get_appointment.appointment_id": lambda s: list(s["appointments"]),
        "prescription_id": lambda s: [k for k, p in s["prescriptions"].items() if p["refills_left"]],
        "lab_result_id": lambda s: list(s["lab_results"]),
    },
)  # fmt: skip
