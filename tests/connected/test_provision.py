"""Topics are made on a real broker as the table says, and trouble is told without a traceback."""

import asyncio
import os
import subprocess
import sys
import uuid

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource

from schemas.topics import RUN_EVENTS, TOPICS
from services.kit.kafka.log import KafkaLog, connection
from services.kit.kafka.provision import HEADER_ROOM, WrongPartitions, provision, verify_topics, wanted
from services.kit.log import LogError, Outgoing
from services.kit.settings import KitSettings
from tests.support.brokers import engine_missing, free_port, kafka_container
from tests.support.topics import make_topics

JAAS = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_tds="correct horse";'


@pytest.fixture
def settings(kafka):
    """Topics of its own, which are gone afterwards: thousands of partitions would slow the broker down."""
    own = KitSettings(kafka=kafka, kafka_prefix=f"provision-{uuid.uuid4().hex[:8]}.")
    yield own

    async def cleared():
        if made := list(await counts(own)):
            await asked(own, lambda admin: admin.delete_topics(made))

    asyncio.run(cleared())


async def asked(settings, question):
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        return await question(admin)
    finally:
        await admin.close()


async def counts(settings):
    described = await asked(settings, lambda admin: admin.describe_topics())
    return {
        one["topic"]: len(one["partitions"])
        for one in described
        if one["topic"].startswith(settings.kafka_prefix)
    }


async def configs(settings, names):
    resources = [ConfigResource("topic", name) for name in names]
    (answer,) = await asked(settings, lambda admin: admin.describe_configs(resources))
    return {one[3]: {entry[0]: entry[1] for entry in one[4]} for one in answer.resources}


async def there_is(settings, partitions):
    """Make the topic of run events with so many partitions, and wait until the broker shows it."""
    await make_topics(settings, {RUN_EVENTS.name: partitions})
    async with asyncio.timeout(10):
        while not await counts(settings):
            await asyncio.sleep(0.05)


async def until(settings, name, expected):
    """Wait until the broker, which learns of changes a little later, has these settings of a topic."""
    async with asyncio.timeout(10):
        while not expected.items() <= (await configs(settings, [name]))[name].items():
            await asyncio.sleep(0.05)


def command(settings, *arguments, **environment):
    given = {
        "TDS_KAFKA": settings.kafka,
        "TDS_KAFKA_PREFIX": settings.kafka_prefix,
        **{name: value for name, value in os.environ.items() if not name.startswith("TDS_")},
        **environment,
    }
    done = subprocess.run(
        [sys.executable, "-m", "services.kit.kafka.provision", *arguments],
        env=given, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done


def test_every_topic_is_made_as_the_table_says_and_only_once(settings):
    assert set(asyncio.run(provision(settings))) == set(wanted(settings.kafka_prefix))
    expected = {settings.kafka_prefix + one.name: one.partitions for one in TOPICS.values()}
    expected |= {settings.kafka_prefix + one.dead: 1 for one in TOPICS.values()}
    assert asyncio.run(counts(settings)) == expected
    found = asyncio.run(configs(settings, expected))
    for name, one in found.items():
        assert (one["retention.ms"], one["retention.bytes"]) == ("-1", "-1"), name
        assert (one["cleanup.policy"], one["compression.type"]) == ("delete", "producer"), name
    for topic in TOPICS.values():
        name = settings.kafka_prefix + topic.name
        assert int(found[name]["max.message.bytes"]) == topic.max_bytes + HEADER_ROOM
        assert int(found[f"{name}.dead"]["max.message.bytes"]) > int(found[name]["max.message.bytes"])
    assert asyncio.run(provision(settings)) == ()
    asyncio.run(verify_topics(settings))


def test_the_largest_record_and_its_dead_letter_are_taken(settings):
    async def story():
        await provision(settings)
        async with KafkaLog(settings) as log:
            for topic in TOPICS.values():
                value = b"x" * topic.max_bytes
                headers = {"ce_id": "i" * 30_000}
                reason = headers | {"dead_detail": "ü" * 2000}
                await log.append([Outgoing(topic.name, 0, "k", headers, value)])
                await log.append([Outgoing(topic.dead, 0, "k", reason, value + b"x" * 30_000)])
            ends = await log.ends([one.name for one in TOPICS.values()] + [t.dead for t in TOPICS.values()])
        assert len(ends) == 2 * len(TOPICS)

    asyncio.run(story())


@pytest.mark.parametrize("there", [1, 63, 128])
def test_another_number_of_partitions_is_refused_and_nothing_is_made(settings, there):
    asyncio.run(there_is(settings, there))
    name = settings.kafka_prefix + RUN_EVENTS.name
    done = command(settings)
    assert done.returncode == 2
    assert f"{name} has {there} and should have {RUN_EVENTS.partitions}" in done.stderr
    assert "slot modulo that number" in done.stderr
    assert "TDS_KAFKA_PREFIX" in done.stderr
    assert asyncio.run(counts(settings)) == {name: there}
    with pytest.raises(WrongPartitions, match=f"has {there} and should have"):
        asyncio.run(verify_topics(settings))


def test_missing_topics_are_told_and_not_made_by_looking(settings):
    with pytest.raises(LogError, match=r"22 topics are missing.*services\.kit\.kafka\.provision"):
        asyncio.run(verify_topics(settings))
    asyncio.run(there_is(settings, RUN_EVENTS.partitions))
    done = command(settings, "--check")
    assert done.returncode == 1
    assert "21 topics are missing" in done.stderr
    assert len(asyncio.run(counts(settings))) == 1


def test_settings_that_would_lose_records_are_put_right_and_others_kept(settings):
    name = settings.kafka_prefix + RUN_EVENTS.name
    kept = {"retention.ms": "-1", "cleanup.policy": "delete"}

    async def story():
        await there_is(settings, RUN_EVENTS.partitions)
        hazard = {"retention.ms": "1000", "cleanup.policy": "compact", "segment.bytes": "2000000"}
        await asked(settings, lambda admin: admin.alter_configs([ConfigResource("topic", name, hazard)]))
        await until(settings, name, hazard)
        made = await provision(settings)
        await until(settings, name, kept | {"segment.bytes": "2000000"})
        return made

    assert len(asyncio.run(story())) == 21


def test_two_at_once_agree(settings):
    async def both():
        return await asyncio.gather(provision(settings), provision(settings))

    asyncio.run(both())
    asyncio.run(verify_topics(settings))


def test_the_command_says_what_it_did(settings):
    assert "22 made, 0 were there" in command(settings).stdout
    again = command(settings)
    assert (again.returncode, "0 made, 22 were there" in again.stdout) == (0, True)


def test_more_replicas_than_brokers_is_told(settings):
    done = command(settings, TDS_KAFKA_REPLICATION="5000")
    assert done.returncode == 1
    assert "5000 replicas: InvalidReplicationFactor" in done.stderr


def test_a_broker_that_is_down_is_waited_for_and_then_told():
    done = command(KitSettings(kafka=f"127.0.0.1:{free_port()}"), "--patience", "2")
    assert done.returncode == 1
    assert "does not answer" in done.stderr
    assert "docker compose up" in done.stderr


def test_tls_where_the_broker_has_none_is_told(settings):
    done = command(settings, "--patience", "1", TDS_KAFKA_SECURITY="ssl")
    assert done.returncode == 1
    assert "wants something else than TDS_KAFKA_SECURITY=ssl" in done.stderr


def test_a_login_where_the_broker_takes_none_is_told_at_once(settings):
    login = {"TDS_KAFKA_SECURITY": "sasl_plaintext", "TDS_KAFKA_USER": "a", "TDS_KAFKA_PASSWORD": "b"}
    done = command(settings, **login)
    assert done.returncode == 1
    assert "takes no login" in done.stderr


@pytest.fixture(scope="module")
def guarded():
    """A broker that wants a login."""
    if why := engine_missing():
        pytest.skip(f"no Kafka that wants a login: {why}")
    with kafka_container(
        "listener.security.protocol.map=INTERNAL:PLAINTEXT,EXTERNAL:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "listener.name.external.sasl.enabled.mechanisms=PLAIN",
        f"listener.name.external.plain.sasl.jaas.config={JAAS}",
    ) as server:
        yield KitSettings(kafka=server.bootstrap)


def test_a_login_is_used_and_a_wrong_one_told_without_the_password(guarded):
    login = {"TDS_KAFKA_SECURITY": "sasl_plaintext", "TDS_KAFKA_USER": "tds"}
    wrong = command(guarded, **login, TDS_KAFKA_PASSWORD="wrong horse")
    assert wrong.returncode == 1
    assert "refuses user 'tds'" in wrong.stderr
    assert "horse" not in wrong.stderr + wrong.stdout

    other = command(guarded, **login, TDS_KAFKA_PASSWORD="correct horse", TDS_KAFKA_MECHANISM="SCRAM-SHA-256")
    assert (other.returncode, "TDS_KAFKA_MECHANISM=SCRAM-SHA-256" in other.stderr) == (1, True)

    none = command(guarded, "--patience", "1")
    assert (none.returncode, "wants something else than TDS_KAFKA_SECURITY=plaintext" in none.stderr) == (
        1,
        True,
    )

    right = command(guarded, **login, TDS_KAFKA_PASSWORD="correct horse")
    assert (right.returncode, right.stderr) == (0, "")


def test_a_broker_that_was_killed_comes_back_with_its_topics():
    if why := engine_missing():
        pytest.skip(f"no Kafka that may be killed: {why}")
    with kafka_container() as server:
        settings = KitSettings(kafka=server.bootstrap)
        asyncio.run(provision(settings))
        server.kill()
        server.start()
        asyncio.run(verify_topics(settings))
