"""The business rules of the built-in servers: what each one refuses, and what a success changes."""

from __future__ import annotations

import copy
import os
import random
import subprocess
import sys
from typing import Any

import pytest

from services.worlds.machine import ToolError
from services.worlds.machines import MACHINES


class Server:
    """One server with its state; calls have defaults filled in and change nothing when they fail."""

    def __init__(self, name: str, seed: int = 7) -> None:
        self.machine = MACHINES[name]
        self.state = self.machine.initial(random.Random(f"{seed}/{name}"))

    def __call__(self, tool: str, **given: Any) -> Any:
        schema = next(t for t in self.machine.server.tools if t.name == tool).input_schema["properties"]
        defaults = {name: part["default"] for name, part in schema.items() if "default" in part}
        # A result may share parts with the state, and the caller copies.
        return copy.deepcopy(self.machine.handlers[tool](self.state, defaults | given))

    def refuses(self, code: str, tool: str, **given: Any) -> str:
        kept = copy.deepcopy(self.state)
        with pytest.raises(ToolError) as failure:
            self(tool, **given)
        self.state = kept
        assert failure.value.code == code
        return failure.value.message

    def pool(self, name: str) -> list[Any]:
        return self.machine.pools[name](self.state)


def test_shop_stock_goes_down_with_an_order_and_up_with_its_cancellation() -> None:
    shop = Server("shop")
    customer, product = shop.pool("customer_id")[0], shop.pool("place_order.product_id")[0]
    before = shop("get_product", product_id=product)
    order = shop("place_order", customer_id=customer, product_id=product, quantity=3)
    assert order["order_total"] == round(3 * before["price"], 2)
    assert shop("get_product", product_id=product)["units_in_stock"] == before["units_in_stock"] - 3
    listed = shop("list_customer_orders", customer_id=customer)["orders"]
    assert listed[0]["order_id"] == order["order_id"]
    assert shop("cancel_order", order_id=order["order_id"])["refund_amount"] == order["order_total"]
    assert shop("get_product", product_id=product) == before
    shop.state["products"][product]["units_in_stock"] = 2
    refused = shop.refuses("conflict", "place_order", customer_id=customer, product_id=product, quantity=3)
    assert "2 units" in refused


def test_shop_only_orders_that_have_not_shipped_can_change_and_only_delivered_ones_return() -> None:
    shop = Server("shop")
    cancelled = shop("cancel_order", order_id=shop.pool("cancel_order.order_id")[0])["order_id"]
    delivered = shop.pool("request_return.order_id")[0]
    for order in (cancelled, delivered):
        shop.refuses("precondition_failed", "cancel_order", order_id=order)
        shop.refuses("precondition_failed", "change_shipping_address", order_id=order, shipping_address="x")
    shop.refuses("precondition_failed", "request_return", order_id=cancelled, return_reason="x")
    returned = shop("request_return", order_id=delivered, return_reason="It is broken")
    assert shop("get_order", order_id=delivered)["return_id"] == returned["return_id"]
    shop.refuses("precondition_failed", "request_return", order_id=delivered, return_reason="again")


def test_shop_an_order_takes_one_discount() -> None:
    shop = Server("shop")
    order, promotion = shop.pool("apply_promotion.order_id")[0], shop("list_promotions")["promotions"][0]
    total = shop("get_order", order_id=order)["order_total"]
    discounted = shop("apply_promotion", order_id=order, promotion_code=promotion["promotion_code"])
    assert discounted["order_total"] == round(total * (100 - promotion["percent_off"]) / 100, 2)
    code = promotion["promotion_code"]
    shop.refuses("conflict", "apply_promotion", order_id=order, promotion_code=code)


def test_bank_a_transfer_keeps_the_sum_of_all_balances() -> None:
    bank = Server("bank")

    def total() -> float:
        return round(sum(account["balance"] for account in bank.state["accounts"].values()), 2)

    source, target, before = bank.pool("account_id")[0], bank.pool("to_account_id")[0], total()
    held = bank("get_account", account_id=source)["balance"]
    sent = bank("transfer_money", account_id=source, to_account_id=target, amount=120.35)
    assert sent["balance"] == round(held - 120.35, 2)
    assert total() == before
    latest = bank("list_transactions", account_id=target)["transactions"][0]
    assert (latest["signed_amount"], latest["counterparty"]) == (120.35, source)
    poor = {"account_id": source, "to_account_id": target, "amount": 1_000_000.0}
    assert "less than" in bank.refuses("precondition_failed", "transfer_money", **poor)
    same = {"account_id": source, "to_account_id": source, "amount": 1.0}
    bank.refuses("invalid_arguments", "transfer_money", **same)


def test_bank_bills_cards_and_disputes() -> None:
    bank = Server("bank")
    biller, account = bank("list_billers")["billers"][0]["biller_id"], bank.pool("account_id")[0]
    held = bank("get_account", account_id=account)["balance"]
    paid = bank("pay_bill", account_id=account, biller_id=biller, amount=40.5)
    assert paid["balance"] == round(held - 40.5, 2)
    dispute = bank(
        "dispute_transaction", transaction_id=paid["transaction_id"], dispute_reason="charged_twice"
    )
    assert dispute["provisional_credit"] == 40.5
    assert bank("get_account", account_id=account)["balance"] == held
    again = {"transaction_id": paid["transaction_id"], "dispute_reason": "charged_twice"}
    bank.refuses("conflict", "dispute_transaction", **again)
    card = bank.pool("freeze_card.card_id")[0]
    bank("freeze_card", card_id=card)
    bank.refuses("conflict", "freeze_card", card_id=card)
    assert bank("unfreeze_card", card_id=card)["card_status"] == "active"
    bank.refuses("limit_exceeded", "set_card_limit", card_id=card, daily_limit=9000)


def test_calendar_times_and_rooms_are_not_booked_twice() -> None:
    calendar = Server("calendar")
    where, start = calendar.pool("calendar_id")[0], calendar.pool("start_time")[0]
    offered = calendar("find_free_slots", calendar_id=where, meeting_date=start[:10])["slots"]
    assert start in [slot["start_time"] for slot in offered]
    plan = {"calendar_id": where, "meeting_title": "Hiring debrief", "duration_minutes": 45}
    meeting = calendar("create_meeting", start_time=start, **plan)
    offered = calendar("find_free_slots", calendar_id=where, meeting_date=start[:10])["slots"]
    assert start not in [slot["start_time"] for slot in offered]
    overlapping = start[:-2] + "30"
    message = calendar.refuses("conflict", "create_meeting", start_time=overlapping, **plan)
    assert meeting["meeting_id"] in message
    other = calendar(
        "create_meeting", start_time=start, **(plan | {"calendar_id": calendar.pool("calendar_id")[1]})
    )
    room = calendar.pool("room_id")[0]
    calendar("book_meeting_room", meeting_id=meeting["meeting_id"], room_id=room)
    calendar.refuses("conflict", "book_meeting_room", meeting_id=other["meeting_id"], room_id=room)
    calendar("cancel_meeting", meeting_id=meeting["meeting_id"])
    calendar("book_meeting_room", meeting_id=other["meeting_id"], room_id=room)
    later = calendar.pool("start_time")[-1]
    calendar.refuses(
        "precondition_failed", "reschedule_meeting", meeting_id=meeting["meeting_id"], start_time=later
    )


def test_drive_documents_move_to_the_trash_and_back() -> None:
    drive = Server("drive")
    share = next(iter(drive.state["shares"].values()))
    document = drive("get_document_details", document_id=share["document_id"])
    content = drive("read_document", document_id=document["document_id"])["content"]
    drive("trash_document", document_id=document["document_id"])
    drive.refuses("not_found", "read_document", document_id=document["document_id"])
    drive.refuses("not_found", "revoke_share", share_id=share["share_id"])
    assert document["document_id"] in [
        found["document_id"] for found in drive("list_trashed_documents")["documents"]
    ]
    assert drive("restore_document", document_id=document["document_id"]) == document
    assert drive("read_document", document_id=document["document_id"])["content"] == content


def test_drive_names_are_unique_in_a_folder() -> None:
    drive = Server("drive")
    folder = drive("create_folder", folder_name="Press kit")["folder_id"]
    made = drive(
        "create_document", folder_id=folder, document_name="launch.md", content="Doors open at 18:30."
    )
    assert made["size_bytes"] == 20
    twice = {"folder_id": folder, "document_name": "launch.md", "content": "x"}
    drive.refuses("conflict", "create_document", **twice)
    drive.refuses("conflict", "create_folder", folder_name="Press kit")
    drive.refuses("invalid_arguments", "create_document", **(twice | {"document_name": "launch.exe"}))
    assert (
        drive("search_documents", query="doors 18:30")["documents"][0]["document_id"] == made["document_id"]
    )


def test_helpdesk_tickets_have_a_life_cycle_and_agents_a_capacity() -> None:
    desk = Server("helpdesk")
    ticket = desk.pool("assign_ticket.ticket_id")[0]
    agent = desk("list_support_agents")["agents"][0]
    desk("assign_ticket", ticket_id=ticket, agent_id=agent["agent_id"])
    loads = {a["agent_id"]: a["open_tickets"] for a in desk("list_support_agents")["agents"]}
    assert loads[agent["agent_id"]] == agent["open_tickets"] + 1
    desk("resolve_ticket", ticket_id=ticket, resolution="A new link was sent.")
    desk.refuses("precondition_failed", "resolve_ticket", ticket_id=ticket, resolution="Again.")
    desk.refuses("precondition_failed", "assign_ticket", ticket_id=ticket, agent_id=agent["agent_id"])
    reopened = desk("reopen_ticket", ticket_id=ticket, reopen_reason="It came back.")
    assert (reopened["ticket_status"], "resolution" in reopened) == ("open", False)
    desk.state["agents"][agent["agent_id"]]["open_tickets"] = 6
    desk.refuses("limit_exceeded", "assign_ticket", ticket_id=ticket, agent_id=agent["agent_id"])


def test_airline_seats_are_counted_and_given_once() -> None:
    airline = Server("airline")
    travelers, flight = airline.pool("traveler_id"), airline.pool("book_flight.flight_id")[0]
    left = airline("get_flight", flight_id=flight)["seats_left"]
    first, second = (
        airline("book_flight", traveler_id=t, flight_id=flight)["booking_id"] for t in travelers[:2]
    )
    assert airline("get_flight", flight_id=flight)["seats_left"] == left - 2
    airline.refuses("conflict", "book_flight", traveler_id=travelers[0], flight_id=flight)
    airline("select_seat", booking_id=first, seat_number="4A")
    airline.refuses("conflict", "select_seat", booking_id=second, seat_number="4A")
    airline.refuses("invalid_arguments", "select_seat", booking_id=second, seat_number="99Z")
    assert "4A" not in [
        s["seat_number"] for s in airline("list_free_seats", flight_id=flight, limit=50)["seats"]
    ]
    airline.refuses("precondition_failed", "check_in_booking", booking_id=second)
    assert "4A" in airline("check_in_booking", booking_id=first)["boarding_pass"]
    airline.refuses("precondition_failed", "cancel_flight_booking", booking_id=first)
    paid = airline("get_flight_booking", booking_id=second)["price_paid"]
    refund = airline("cancel_flight_booking", booking_id=second)["refund_amount"]
    assert refund == round(max(0, paid - 40), 2)
    assert airline("get_flight", flight_id=flight)["seats_left"] == left - 1
    airline.state["flights"][flight]["seats_left"] = 0
    airline.refuses("conflict", "book_flight", traveler_id=travelers[2], flight_id=flight)


def test_chat_archived_channels_take_nothing_and_threads_hold_replies() -> None:
    chat = Server("chat")
    channel, member = chat.pool("channel_id")[0], chat.pool("add_channel_member.member_id")[0]
    posted = chat("post_message", channel_id=channel, message_text="The demo moves to 15:30.")
    reply = chat("reply_to_message", message_id=posted["message_id"], message_text="Noted.")
    thread = chat("get_message_thread", message_id=posted["message_id"])
    assert [r["message_id"] for r in thread["replies"]] == [reply["message_id"]]
    chat("add_channel_member", channel_id=channel, member_id=member)
    chat.refuses("conflict", "add_channel_member", channel_id=channel, member_id=member)
    chat("add_reaction", message_id=posted["message_id"], emoji="eyes")
    chat.refuses("conflict", "add_reaction", message_id=posted["message_id"], emoji="eyes")
    chat("archive_channel", channel_id=channel)
    assert channel not in [c["channel_id"] for c in chat("list_channels")["channels"]]
    chat.refuses("precondition_failed", "post_message", channel_id=channel, message_text="Hello?")
    chat.refuses("precondition_failed", "reply_to_message", message_id=posted["message_id"], message_text="?")


def test_tracker_a_blocked_task_waits_for_its_blocker() -> None:
    tracker = Server("tracker")
    blocked = next(t for t in tracker.state["tasks"].values() if t["blocked_by"])
    message = tracker.refuses("precondition_failed", "complete_task", task_id=blocked["task_id"])
    blocker = blocked["blocked_by"][0]
    assert blocker in message
    tracker.refuses("precondition_failed", "complete_task", task_id=blocker)
    done = tracker("get_milestone_progress", milestone_id=tracker.state["tasks"][blocker]["milestone_id"])
    for step in ("start_task", "submit_task_for_review", "complete_task"):
        tracker(step, task_id=blocker)
    now = tracker("get_milestone_progress", milestone_id=done["milestone_id"])
    assert now["tasks_done"] == done["tasks_done"] + 1
    assert tracker("complete_task", task_id=blocked["task_id"])["task_status"] == "done"
    tracker.refuses("precondition_failed", "set_task_due_date", task_id=blocker, due_date="2031-01-01")


def test_clinic_a_slot_holds_one_appointment() -> None:
    clinic = Server("clinic")
    patients, slot = clinic.pool("patient_id"), clinic.pool("slot_id")[0]
    visit = {"slot_id": slot, "visit_reason": "Annual check-up"}
    booked = clinic("book_appointment", patient_id=patients[0], **visit)
    assert slot not in clinic.pool("slot_id")
    clinic.refuses("conflict", "book_appointment", patient_id=patients[1], **visit)
    free = clinic.pool("slot_id")[0]
    moved = clinic("reschedule_appointment", appointment_id=booked["appointment_id"], slot_id=free)
    assert moved["starts_at"] == clinic.state["slots"][free]["starts_at"]
    assert slot in clinic.pool("slot_id")
    clinic("cancel_appointment", appointment_id=booked["appointment_id"])
    assert free in clinic.pool("slot_id")
    clinic.refuses("precondition_failed", "check_in_patient", appointment_id=booked["appointment_id"])


def test_clinic_refills_run_out() -> None:
    clinic = Server("clinic")
    prescription = clinic.pool("prescription_id")[0]
    for left in range(clinic.state["prescriptions"][prescription]["refills_left"] - 1, -1, -1):
        assert clinic("request_refill", prescription_id=prescription)["refills_left"] == left
    clinic.refuses("limit_exceeded", "request_refill", prescription_id=prescription)


def test_warehouse_a_transfer_keeps_the_total_and_a_receipt_adds_to_it() -> None:
    warehouse = Server("warehouse")
    item, (source, target, *_) = warehouse.pool("item_id")[0], warehouse.pool("warehouse_id")
    total = warehouse("get_inventory_item", item_id=item)["total_units"]
    move = {"item_id": item, "warehouse_id": source, "to_warehouse_id": target}
    warehouse("transfer_stock", units=40, **move)
    assert warehouse("get_inventory_item", item_id=item)["total_units"] == total
    warehouse.refuses("precondition_failed", "transfer_stock", units=500, **move)
    supplier = warehouse("list_suppliers")["suppliers"][0]["supplier_id"]
    purchase = warehouse("create_purchase_order", supplier_id=supplier, item_id=item, units=25)
    receipt = {"purchase_order_id": purchase["purchase_order_id"], "warehouse_id": source}
    warehouse("receive_purchase_order", **receipt)
    assert warehouse("get_inventory_item", item_id=item)["total_units"] == total + 25
    warehouse.refuses("precondition_failed", "receive_purchase_order", **receipt)
    number = purchase["purchase_order_id"]
    warehouse.refuses("precondition_failed", "cancel_purchase_order", purchase_order_id=number)


def test_hr_approval_takes_days_off_the_balance_and_requests_do_not_overlap() -> None:
    hr = Server("hr")
    employee, first = hr.pool("submit_leave_request.employee_id")[0], hr.pool("first_day")[0]
    wish = {"employee_id": employee, "leave_type": "vacation", "first_day": first}
    request = hr("submit_leave_request", day_count=3, **wish)["leave_request_id"]
    hr.refuses("conflict", "submit_leave_request", day_count=1, **wish)
    left = hr("get_leave_balance", employee_id=employee)["vacation_days_left"]
    assert hr("approve_leave_request", leave_request_id=request)["leave_status"] == "approved"
    assert hr("get_leave_balance", employee_id=employee)["vacation_days_left"] == left - 3
    hr.refuses("precondition_failed", "withdraw_leave_request", leave_request_id=request)
    hr.refuses("limit_exceeded", "submit_leave_request", day_count=30, **wish)
    slip = hr(
        "get_payslip", payslip_id=hr("list_payslips", employee_id=employee)["payslips"][0]["payslip_id"]
    )
    assert slip["net_pay"] == round(slip["gross_pay"] - slip["deductions"], 2)


def test_music_playlists_hold_a_track_once() -> None:
    music = Server("music")
    playlist = music("create_playlist", playlist_name="Deep focus")["playlist_id"]
    music.refuses("conflict", "create_playlist", playlist_name="Deep focus")
    first, second = music.pool("track_id")[:2]
    for track in (first, second):
        music("add_playlist_track", playlist_id=playlist, track_id=track)
    music.refuses("conflict", "add_playlist_track", playlist_id=playlist, track_id=first)
    left = music("remove_playlist_track", playlist_id=playlist, track_position=1)
    assert [track["track_id"] for track in left["tracks"]] == [second]
    music.refuses("invalid_arguments", "remove_playlist_track", playlist_id=playlist, track_position=2)
    artist = music.pool("follow_artist.artist_id")[0]
    music("follow_artist", artist_id=artist)
    music.refuses("conflict", "follow_artist", artist_id=artist)


def test_code_host_merging_needs_an_approval_and_passing_checks() -> None:
    host = Server("code_host")
    pulls = [p for p in host.state["pull_requests"].values() if p["pull_request_state"] == "open"]
    red = next(p for p in pulls if p["checks"] == "failing")
    new = next(p for p in pulls if p["checks"] == "passing" and not p["approval_count"])
    host.refuses("precondition_failed", "merge_pull_request", pull_request_id=red["pull_request_id"])
    number, repository = new["pull_request_id"], new["repository_id"]
    host.refuses("precondition_failed", "merge_pull_request", pull_request_id=number)
    host("review_pull_request", pull_request_id=number, verdict="approve")
    merged = host("merge_pull_request", pull_request_id=number)
    assert len(merged["commit_sha"]) == 7
    branches = [b["branch_name"] for b in host("list_branches", repository_id=repository)["branches"]]
    assert merged["branch_name"] not in branches
    host.refuses("precondition_failed", "review_pull_request", pull_request_id=number, verdict="approve")


def test_code_host_versions_go_up() -> None:
    host = Server("code_host")
    repository = host.pool("repository_id")[0]
    host("publish_release", repository_id=repository, version="5.10.0")
    host.refuses("conflict", "publish_release", repository_id=repository, version="5.9.1")
    assert host("get_repository", repository_id=repository)["latest_version"] == "5.10.0"


def test_takeaway_a_cart_becomes_an_order() -> None:
    takeaway = Server("takeaway")
    diner = takeaway.pool("diner_id")[0]
    restaurant, other = (
        takeaway("list_restaurants", cuisine=kind)["restaurants"][0] for kind in ("indian", "mexican")
    )
    cart = takeaway("start_cart", diner_id=diner, restaurant_id=restaurant["restaurant_id"])["cart_id"]
    takeaway.refuses("precondition_failed", "checkout_cart", cart_id=cart)
    dish, foreign = (
        takeaway("list_menu", restaurant_id=r["restaurant_id"])["dishes"][0] for r in (restaurant, other)
    )
    wrong = {"cart_id": cart, "menu_item_id": foreign["menu_item_id"], "portions": 1}
    takeaway.refuses("precondition_failed", "add_dish_to_cart", **wrong)
    takeaway("add_dish_to_cart", cart_id=cart, menu_item_id=dish["menu_item_id"], portions=2)
    order = takeaway("checkout_cart", cart_id=cart)
    assert order["amount_due"] == round(2 * dish["dish_price"] + restaurant["delivery_fee"], 2)
    takeaway.refuses("not_found", "get_cart", cart_id=cart)
    number = order["food_order_id"]
    takeaway.refuses("precondition_failed", "track_delivery", food_order_id=number)
    takeaway.refuses("precondition_failed", "rate_food_order", food_order_id=number, stars=5)
    takeaway("cancel_food_order", food_order_id=number)
    takeaway.refuses(
        "precondition_failed", "change_delivery_address", food_order_id=number, delivery_address="x"
    )


def test_worlds_do_not_depend_on_hash_order() -> None:
    program = (
        "import json, random, hashlib\n"
        "from services.worlds.machines import MACHINES, dump\n"
        "first = [m.initial(random.Random(name)) for name, m in MACHINES.items()]\n"
        "pools = [[pool(s) for pool in m.pools.values()] for m, s in zip(MACHINES.values(), first)]\n"
        "print(hashlib.sha256(json.dumps([dump(), first, pools]).encode()).hexdigest())\n"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
