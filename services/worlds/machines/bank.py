"""A retail bank: account holders, accounts, transfers, bills, cards and disputes."""

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
    cents,
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
    require,
    some_day,
)

BILLERS: Final = (
    ("Northgate Electric", "utilities"), ("Clearspring Water", "utilities"), ("Bluewave Mobile", "telecom"),
    ("Fibrelink Broadband", "telecom"), ("Harbour Mutual Insurance", "insurance"),
    ("Oakfield Property Rent", "housing"), ("Summit Gym Club", "leisure"), ("Cityline Transit", "transport"),
)  # fmt: skip
PURCHASES: Final = (
    ("Greenleaf Grocers", "groceries"), ("Cityline Transit", "transport"), ("Marlow Books", "shopping"),
    ("Trattoria Lucia", "dining"), ("Northgate Electric", "utilities"), ("Volt Electronics", "shopping"),
)  # fmt: skip

F: Final = Fields(
    limit=limit(),
    account_holder_id=text("account holder number", "Account holder identifier, for example HLD-28817."),
    account_holder_name=text("name", "Full name of the account holder."),
    account_holder_email=text("email address", "Email address on file at the bank.", format="email"),
    account_id=text("account number", "Account identifier, for example ACC-51907. Money is taken from here."),
    to_account_id=text("account that receives the money", "Account that receives the money."),
    account_type=choice("kind of account", "Kind of account.", ("checking", "savings")),
    balance=number("balance", "Current balance in USD."),
    amount=number("amount", "Amount in USD.", (25.0, 40.5, 75.0, 120.0, 180.25), exclusiveMinimum=0),
    memo=text(
        "memo",
        "Note that shows on the statement.",
        ("March rent share", "Birthday gift", "Holiday savings", "Paying back dinner", "Car repair fund"),
    ),
    transaction_id=text("transaction number", "Transaction identifier, for example TXN-90412."),
    booked_on=text("booking date", "Date the transaction was booked.", format="date"),
    counterparty=text("counterparty", "Who was paid, or who paid."),
    transaction_category=choice(
        "spending category",
        "Spending category.",
        ("groceries", "transport", "shopping", "dining", "utilities", "transfer", "bill"),
    ),
    signed_amount=number("amount", "Amount in USD; negative when money left the account."),
    transaction_status=choice("transaction status", "Status of the transaction.", ("booked", "disputed")),
    biller_id=text("biller number", "Biller identifier, for example BIL-34410."),
    biller_name=text("biller", "Name of the company that is paid."),
    biller_category=choice(
        "kind of biller",
        "Kind of biller.",
        ("utilities", "telecom", "insurance", "housing", "leisure", "transport"),
    ),
    confirmation_number=text("confirmation number", "Confirmation of the payment."),
    card_id=text("card number", "Card identifier, for example CRD-66120."),
    card_network=text("card network", "Network that the card belongs to."),
    last_four=text("last four digits", "Last four digits of the card number."),
    card_status=choice("card status", "Whether the card can be used.", ("active", "frozen")),
    daily_limit=integer(
        "daily limit", "Most that can be spent per day, in USD.", (200, 350, 800, 1200, 1750), minimum=50
    ),
    dispute_id=text("dispute number", "Dispute identifier, for example DSP-72204."),
    dispute_reason=choice(
        "reason for the dispute",
        "What is wrong with the transaction.",
        ("not_recognized", "charged_twice", "wrong_amount", "goods_not_received"),
    ),
    dispute_status=choice("dispute status", "Status of the dispute.", ("under_review", "refunded")),
    provisional_credit=number("provisional credit", "Amount credited while the dispute is reviewed, in USD."),
)

HOLDER: Final = "account_holder_id account_holder_name account_holder_email"
ACCOUNT: Final = "account_id account_holder_id account_type balance"
TRANSACTION: Final = (
    "transaction_id account_id booked_on counterparty transaction_category signed_amount transaction_status "
    "memo? dispute_id?"
)
SUMMARY: Final = "transaction_id booked_on counterparty transaction_category signed_amount"
BILLER: Final = "biller_id biller_name biller_category"
CARD: Final = "card_id account_id card_network last_four card_status daily_limit"
DISPUTE: Final = "dispute_id transaction_id account_id dispute_reason dispute_status provisional_credit"


def _book(state: State, account_id: str, signed: float, counterparty: str, category: str, memo: str) -> Any:
    account = state["accounts"][account_id]
    account["balance"] = cents(account["balance"] + signed)
    transaction = {
        "transaction_id": new_id(state, "TXN"), "account_id": account_id, "booked_on": state["today"],
        "counterparty": counterparty, "transaction_category": category, "signed_amount": cents(signed),
        "transaction_status": "booked",
    }  # fmt: skip
    if memo:
        transaction["memo"] = memo
    state["transactions"][transaction["transaction_id"]] = transaction
    return transaction


def _covered(state: State, account_id: str, amount: float) -> Any:
    account = lookup(state["accounts"], account_id, "Account")
    balance = account["balance"]
    short = f"The balance of account {account_id} is {balance:.2f} USD, less than {amount:.2f} USD."
    require(amount <= balance, "precondition_failed", short)
    return account


def initial(rng: random.Random) -> State:
    """A bank with 8 account holders, each with two accounts and a card, and 40 transactions."""
    state: State = {"today": some_day(rng), "last_number": {}, "transactions": {}, "disputes": {}}
    state["holders"] = {
        holder: {
            "account_holder_id": holder, "account_holder_name": name,
            "account_holder_email": email(name, "postbox.org"),
        }
        for holder, name in zip(ids(rng, state, "HLD", 8), people(rng, 8), strict=True)
    }  # fmt: skip
    owners = [holder for holder in state["holders"] for _ in range(2)]
    state["accounts"] = {
        account_id: {
            "account_id": account_id, "account_holder_id": owner,
            "account_type": "savings" if index % 2 else "checking",
            "balance": rng.randrange(90_000, 900_000) / 100,
        }
        for index, (account_id, owner) in enumerate(zip(ids(rng, state, "ACC", 16), owners, strict=True))
    }  # fmt: skip
    checking = [account["account_id"] for account in having(state["accounts"], account_type="checking")]
    state["cards"] = {
        card_id: {
            "card_id": card_id, "account_id": account_id, "card_network": rng.choice(("Visa", "Mastercard")),
            "last_four": f"{rng.randrange(1000, 10_000)}", "card_status": status,
            "daily_limit": rng.choice((500, 1000, 1500)),
        }
        for card_id, account_id, status in zip(
            ids(rng, state, "CRD", 8), checking, cycle(rng, ("active", "frozen"), 8), strict=True
        )
    }  # fmt: skip
    state["billers"] = {
        biller_id: {"biller_id": biller_id, "biller_name": name, "biller_category": category}
        for biller_id, (name, category) in zip(ids(rng, state, "BIL", len(BILLERS)), BILLERS, strict=True)
    }
    ids(rng, state, "DSP", 1)
    places = cycle(rng, checking, 40)
    numbers = ids(rng, state, "TXN", 40)
    for index, (transaction_id, account_id) in enumerate(zip(numbers, places, strict=True)):
        counterparty, category = rng.choice(PURCHASES)
        state["transactions"][transaction_id] = {
            "transaction_id": transaction_id, "account_id": account_id,
            "booked_on": day(state["today"], index - 41), "counterparty": counterparty,
            "transaction_category": category, "signed_amount": -rng.randrange(450, 18_000) / 100,
            "transaction_status": "booked",
        }  # fmt: skip
    return state


@read(
    "account_holder_email", F.object(HOLDER), "look up an account holder", "find an account holder by email"
)
def find_account_holder(state: State, args: Arguments) -> Any:
    """Find an account holder by the email address on file."""
    return find(state["holders"], "account_holder_email", args["account_holder_email"], "account holder")


@read(
    "account_holder_id account_type?",
    F.listing("accounts", ACCOUNT),
    "see which accounts an account holder has",
    "list the accounts of an account holder",
)
def list_holder_accounts(state: State, args: Arguments) -> Any:
    """List the accounts of an account holder with their balances, optionally only those of one kind."""
    lookup(state["holders"], args["account_holder_id"], "Account holder")
    found = having(
        state["accounts"], account_holder_id=args["account_holder_id"], account_type=args.get("account_type")
    )
    return page("accounts", found, len(found), ACCOUNT)


@read("account_id", F.object(ACCOUNT), "check the balance of an account", "look up the balance of an account")
def get_account(state: State, args: Arguments) -> Any:
    """Get kind, owner and current balance of an account."""
    return lookup(state["accounts"], args["account_id"], "Account")


@read(
    "account_id transaction_category? limit?",
    F.listing("transactions", SUMMARY),
    "see the latest transactions of an account",
    "review the transactions of an account",
)
def list_transactions(state: State, args: Arguments) -> Any:
    """List the transactions of an account, latest first, optionally only those of one category."""
    lookup(state["accounts"], args["account_id"], "Account")
    category = args.get("transaction_category")
    found = having(state["transactions"], account_id=args["account_id"], transaction_category=category)
    return page("transactions", found[::-1], args["limit"], SUMMARY)


@read("transaction_id", F.object(TRANSACTION), "look at a transaction", "get the details of a transaction")
def get_transaction(state: State, args: Arguments) -> Any:
    """Get one transaction with its counterparty, amount and, if it is disputed, its dispute."""
    return lookup(state["transactions"], args["transaction_id"], "Transaction")


@write(
    "account_id to_account_id amount memo?",
    F.object("transaction_id account_id to_account_id amount balance"),
    "send money from an account",
    "transfer money from an account",
)
def transfer_money(state: State, args: Arguments) -> Any:
    """Move money from one account to another at once. Returns the new balance of the paying account."""
    source, target, amount = args["account_id"], args["to_account_id"], cents(args["amount"])
    lookup(state["accounts"], target, "Account")
    require(source != target, "invalid_arguments", "The two accounts must be different.")
    account = _covered(state, source, amount)
    sent = _book(state, source, -amount, target, "transfer", args.get("memo", ""))
    _book(state, target, amount, source, "transfer", args.get("memo", ""))
    return {
        "transaction_id": sent["transaction_id"], "account_id": source, "to_account_id": target,
        "amount": amount, "balance": account["balance"],
    }  # fmt: skip


@read(
    "biller_category? limit?",
    F.listing("billers", BILLER),
    "see which companies can be paid",
    "list the companies that can be paid",
)
def list_billers(state: State, args: Arguments) -> Any:
    """List the companies that bills can be paid to, optionally only those of one kind."""
    found = having(state["billers"], biller_category=args.get("biller_category"))
    return page("billers", found, args["limit"], BILLER)


@write(
    "account_id biller_id amount memo?",
    F.object("transaction_id confirmation_number biller_name amount balance"),
    "pay a bill from an account",
    "settle a bill from an account",
)
def pay_bill(state: State, args: Arguments) -> Any:
    """Pay a bill to a company from an account. Returns a confirmation and the new balance."""
    biller, amount = lookup(state["billers"], args["biller_id"], "Biller"), cents(args["amount"])
    account = _covered(state, args["account_id"], amount)
    paid = _book(state, args["account_id"], -amount, biller["biller_name"], "bill", args.get("memo", ""))
    return {
        "transaction_id": paid["transaction_id"],
        "confirmation_number": f"{args['biller_id']}/{paid['transaction_id'][4:]}",
        "biller_name": biller["biller_name"], "amount": amount, "balance": account["balance"],
    }  # fmt: skip


@read(
    "account_id",
    F.listing("cards", CARD),
    "see which cards belong to an account",
    "list the cards of an account",
)
def list_account_cards(state: State, args: Arguments) -> Any:
    """List the debit cards of a checking account with their status and daily limit."""
    lookup(state["accounts"], args["account_id"], "Account")
    found = having(state["cards"], account_id=args["account_id"])
    return page("cards", found, len(found), CARD)


@write("card_id", F.object(CARD), "freeze a card", "block a card")
def freeze_card(state: State, args: Arguments) -> Any:
    """Freeze an active card, so that it can't be used until it is unfrozen."""
    card = lookup(state["cards"], args["card_id"], "Card")
    require(card["card_status"] == "active", "conflict", f"Card {args['card_id']} is frozen already.")
    card["card_status"] = "frozen"
    return card


@write("card_id", F.object(CARD), "unfreeze a card", "lift the freeze on a card")
def unfreeze_card(state: State, args: Arguments) -> Any:
    """Make a frozen card usable again."""
    card = lookup(state["cards"], args["card_id"], "Card")
    require(card["card_status"] == "frozen", "conflict", f"Card {args['card_id']} is not frozen.")
    card["card_status"] = "active"
    return card


@write(
    "card_id daily_limit",
    F.object(CARD),
    "change the daily limit of a card",
    "set the daily limit of a card",
)
def set_card_limit(state: State, args: Arguments) -> Any:
    """Set how much can be spent with a card per day, up to 5000 USD."""
    card, most = lookup(state["cards"], args["card_id"], "Card"), args["daily_limit"]
    require(
        most <= 5000, "limit_exceeded", f"A daily limit of {most} USD is above the most allowed, 5000 USD."
    )
    card["daily_limit"] = most
    return card


@write("transaction_id dispute_reason", F.object(DISPUTE), "dispute a transaction", "contest a transaction")
def dispute_transaction(state: State, args: Arguments) -> Any:
    """Open a dispute about a payment that left an account. The amount is credited while it is reviewed."""
    transaction = lookup(state["transactions"], args["transaction_id"], "Transaction")
    charge = -transaction["signed_amount"]
    require(charge > 0, "precondition_failed", "Only payments that left the account can be disputed.")
    status = transaction["transaction_status"]
    require(status == "booked", "conflict", f"Transaction {args['transaction_id']} is disputed already.")
    account = state["accounts"][transaction["account_id"]]
    account["balance"] = cents(account["balance"] + charge)
    dispute_id = new_id(state, "DSP")
    transaction |= {"transaction_status": "disputed", "dispute_id": dispute_id}
    state["disputes"][dispute_id] = {
        "dispute_id": dispute_id, **only(transaction, "transaction_id account_id"),
        "dispute_reason": args["dispute_reason"], "dispute_status": "under_review",
        "provisional_credit": charge,
    }  # fmt: skip
    return state["disputes"][dispute_id]


MACHINE: Final = machine(
    "bank",
    "Retail Banking",
    "Retail bank: account holders, accounts, transfers, bill payments, debit cards and disputes.",
    domain="banking",
    fields=F,
    tools=(
        find_account_holder, list_holder_accounts, get_account, list_transactions, get_transaction,
        transfer_money, list_billers, pay_bill, list_account_cards, freeze_card, unfreeze_card,
        set_card_limit, dispute_transaction,
    ),
    initial=initial,
    pools={
        "account_holder_email": lambda s: [c["account_holder_email"] for c in s["holders"].values()],
        "account_holder_id": lambda s: list(s["holders"]),
        "account_id": lambda s: [
            a["account_id"] for a in having(s["accounts"], account_type="checking") if a["balance"] >= 200
        ],
        "get_account.account_id": lambda s: list(s["accounts"]),
        "to_account_id": lambda s: [a["account_id"] for a in having(s["accounts"], account_type="savings")],
        "transaction_id": lambda s: list(s["transactions"]),
        "dispute_transaction.transaction_id": lambda s: [
            t["transaction_id"]
            for t in having(s["transactions"], transaction_status="booked")
            if t["signed_amount"] < 0
        ],
        "biller_id": lambda s: list(s["billers"]),
        "card_id": lambda s: list(s["cards"]),
        "freeze_card.card_id": lambda s: [c["card_id"] for c in having(s["cards"], card_status="active")],
        "unfreeze_card.card_id": lambda s: [c["card_id"] for c in having(s["cards"], card_status="frozen")],
    },
)  # fmt: skip
