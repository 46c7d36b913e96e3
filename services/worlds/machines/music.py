"""A music service: artists, albums and tracks, and a listener's playlists, queue and followed artists."""

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
from services.worlds.machines.records import having, ids, lookup, mentioning, new_id, only, page, require

GENRES: Final = ("indie", "jazz", "electronic", "folk")
ARTISTS: Final = (
    ("Paper Lanterns", "indie"), ("The Copper Foxes", "indie"), ("Delia Moss Trio", "jazz"),
    ("Harlan Reed", "jazz"), ("Neon Estuary", "electronic"), ("Kite Machine", "electronic"),
    ("Wren and Alder", "folk"), ("Isla Tarn", "folk"),
)  # fmt: skip
ALBUMS: Final = (
    "Rooms Without Clocks", "Northbound", "Blue Hour Sessions", "Second Set", "Tidal Grid", "Soft Circuits",
    "Hollow Hills", "Letters to Harbour",
)  # fmt: skip
SONGS: Final = (
    "Glass Parade", "Slow Ferry", "Tangerine Sky", "Borrowed Time", "Window Seat", "Paper Moon Drive",
    "Midnight Ledger", "Quiet Engine", "Salt and Cedar", "Lantern Fish", "Third Street Blues",
    "Velvet Static", "Winter Orchard", "Signal Fires", "Marble Garden", "Long Way Down", "Copper Rain",
    "Silver Thread", "Harbour Lights", "Distant Radio", "Amber Field", "Folded Maps", "Echo Valley",
    "Morning Freight", "Crooked Pines", "Half the Ocean", "Satellite Town", "Last Carousel",
    "River Letters", "Dust and Neon",
    "Open Water", "Little Thunder",
)  # fmt: skip

F: Final = Fields(
    query=text("search words", "Words to look for in track titles."),
    limit=limit(),
    artist_id=text("artist number", "Artist identifier, for example ART-40812."),
    artist_name=text("artist", "Name of the artist."),
    genre=choice("genre", "Musical genre.", GENRES),
    monthly_listeners=integer("monthly listeners", "Listeners in the last month."),
    is_followed=flag("followed", "Whether you follow the artist."),
    album_id=text("album number", "Album identifier, for example ALB-51930."),
    album_title=text("album", "Title of the album."),
    released_in=integer("year", "Year of release."),
    track_id=text("track number", "Track identifier, for example TRK-73304."),
    track_title=text("track", "Title of the track."),
    duration_seconds=integer("length", "Length in seconds."),
    play_count=integer("plays", "Number of times the track was played."),
    is_liked=flag("liked", "Whether the track is among your liked tracks."),
    playlist_id=text("playlist number", "Playlist identifier, for example PLS-26651."),
    playlist_name=text("playlist name", "Name of the playlist.", (
        "Rainy commute", "Kitchen dancing", "Deep focus", "Sunday pancakes", "Long drive north",
    )),
    playlist_description=text("description", "What the playlist is for.", (
        "Calm tracks for grey mornings", "Loud enough to cook to", "No vocals, no interruptions",
        "Slow starts and coffee", "Four hours without skipping",
    )),
    track_total=integer("number of tracks", "Number of tracks of the playlist."),
    track_position=integer(
        "position in the playlist", "Position of the track, counted from 1.", (1, 2, 3, 4, 5), minimum=1
    ),
    queue_position=integer("place in the queue", "Place in the queue, counted from 1."),
)  # fmt: skip

ARTIST: Final = "artist_id artist_name genre monthly_listeners is_followed"
ALBUM: Final = "album_id artist_id album_title released_in"
TRACK: Final = "track_id track_title artist_id artist_name album_id duration_seconds"
TRACKS: Final = F.listing("tracks", TRACK)
F["tracks"] = array("Tracks, in order.", F.object("track_id track_title artist_name duration_seconds"))
PLAYLIST: Final = "playlist_id playlist_name track_total playlist_description?"
FULL_PLAYLIST: Final = PLAYLIST + " tracks"


def initial(rng: random.Random) -> State:
    """8 artists with an album of four tracks each, and six playlists of six tracks; 12 tracks are in none."""
    state: State = {"last_number": {}, "queue": [], "albums": {}, "tracks": {}, "playlists": {}}
    state["artists"] = {
        artist_id: {
            "artist_id": artist_id, "artist_name": name, "genre": genre, "is_followed": index % 3 == 0,
            "monthly_listeners": rng.randrange(4_000, 900_000),
        }
        for index, (artist_id, (name, genre)) in enumerate(
            zip(ids(rng, state, "ART", len(ARTISTS)), ARTISTS, strict=True)
        )
    }  # fmt: skip
    titles, numbers = iter(rng.sample(SONGS, 32)), iter(ids(rng, state, "TRK", 32))
    albums = zip(ids(rng, state, "ALB", 8), state["artists"].values(), ALBUMS, strict=True)
    for album_id, artist, title in albums:
        state["albums"][album_id] = {
            "album_id": album_id, "artist_id": artist["artist_id"], "album_title": title,
            "released_in": rng.randrange(1998, 2026),
        }  # fmt: skip
        for _ in range(4):
            track_id = next(numbers)
            state["tracks"][track_id] = {
                "track_id": track_id, "track_title": next(titles), **only(artist, "artist_id artist_name"),
                "album_id": album_id, "duration_seconds": rng.randrange(130, 380),
                "play_count": rng.randrange(900, 400_000), "is_liked": rng.random() < 0.3,
            }  # fmt: skip
    used = rng.sample(list(state["tracks"]), 20)
    names = ("Evening wind-down", "Running mix", "Office background", "Road trip", "New finds", "Jazz brunch")
    for playlist_id, name in zip(ids(rng, state, "PLS", 6), names, strict=True):
        state["playlists"][playlist_id] = {
            "playlist_id": playlist_id, "playlist_name": name, "track_ids": rng.sample(used, 6),
        }  # fmt: skip
    return state


def _playlist(state: State, playlist_id: str) -> Any:
    return lookup(state["playlists"], playlist_id, "Playlist")


def _show(state: State, playlist: Any) -> Any:
    fields = "track_id track_title artist_name duration_seconds"
    tracks = [only(state["tracks"][track_id], fields) for track_id in playlist["track_ids"]]
    return {**only(playlist, PLAYLIST), "track_total": len(tracks), "tracks": tracks}


@read("query limit?", TRACKS, "find a track", "search for a track by title")
def search_tracks(state: State, args: Arguments) -> Any:
    """Search tracks by words in the title, most played first."""
    found = mentioning(state["tracks"].values(), args["query"], "track_title")
    return page("tracks", sorted(found, key=lambda t: -t["play_count"]), args["limit"], TRACK)


@read("track_id", F.object(TRACK + " play_count is_liked"), "look at a track", "look up a track")
def get_track(state: State, args: Arguments) -> Any:
    """Get a track with its artist, album, length and number of plays."""
    return lookup(state["tracks"], args["track_id"], "Track")


@read(
    "genre limit?", F.listing("artists", ARTIST), "find artists of a genre", "see who makes a kind of music"
)
def list_artists_by_genre(state: State, args: Arguments) -> Any:
    """List the artists of a genre, most listened to first."""
    found = having(state["artists"], genre=args["genre"])
    return page("artists", sorted(found, key=lambda a: -a["monthly_listeners"]), args["limit"], ARTIST)


@read("artist_id", F.listing("albums", ALBUM), "see the albums of an artist", "list an artist's albums")
def list_artist_albums(state: State, args: Arguments) -> Any:
    """List the albums of an artist."""
    lookup(state["artists"], args["artist_id"], "Artist")
    found = having(state["albums"], artist_id=args["artist_id"])
    return page("albums", found, len(found), ALBUM)


@read("album_id", F.object(ALBUM + " tracks"), "see the tracks on an album", "look at an album")
def get_album(state: State, args: Arguments) -> Any:
    """Get an album with its tracks in order."""
    album = lookup(state["albums"], args["album_id"], "Album")
    fields = "track_id track_title artist_name duration_seconds"
    return {**album, "tracks": [only(t, fields) for t in having(state["tracks"], album_id=args["album_id"])]}


@write("artist_id", F.object(ARTIST), "follow an artist", "start following an artist")
def follow_artist(state: State, args: Arguments) -> Any:
    """Follow an artist, to hear of new releases."""
    artist = lookup(state["artists"], args["artist_id"], "Artist")
    require(not artist["is_followed"], "conflict", f"You follow {artist['artist_name']} already.")
    artist["is_followed"] = True
    return artist


@write("track_id", F.object(TRACK + " is_liked"), "like a track", "add a track to my favourites")
def like_track(state: State, args: Arguments) -> Any:
    """Add a track to your liked tracks."""
    track = lookup(state["tracks"], args["track_id"], "Track")
    require(not track["is_liked"], "conflict", f"{track['track_title']} is among your liked tracks already.")
    track["is_liked"] = True
    return only(track, TRACK + " is_liked")


@read(
    "track_id limit?",
    TRACKS,
    "find tracks that are similar to a track",
    "get recommendations based on a track",
)
def list_similar_tracks(state: State, args: Arguments) -> Any:
    """List tracks of the same genre as a track, most played first."""
    track = lookup(state["tracks"], args["track_id"], "Track")
    genre = state["artists"][track["artist_id"]]["genre"]
    same = [t for t in state["tracks"].values() if state["artists"][t["artist_id"]]["genre"] == genre]
    found = sorted((t for t in same if t is not track), key=lambda t: -t["play_count"])
    return page("tracks", found, args["limit"], TRACK)


@read("", F.listing("playlists", PLAYLIST), "see my playlists", "list my playlists")
def list_my_playlists(state: State, _args: Arguments) -> Any:
    """List your playlists with the number of tracks in each."""
    found = [_show(state, playlist) for playlist in state["playlists"].values()]
    return page("playlists", found, len(found), PLAYLIST)


@read("playlist_id", F.object(FULL_PLAYLIST), "see what is on a playlist", "look at a playlist")
def get_playlist(state: State, args: Arguments) -> Any:
    """Get a playlist with its tracks in order."""
    return _show(state, _playlist(state, args["playlist_id"]))


@write(
    "playlist_name playlist_description?", F.object(FULL_PLAYLIST), "make a playlist", "start a new playlist"
)
def create_playlist(state: State, args: Arguments) -> Any:
    """Create an empty playlist. Names of playlists are unique."""
    taken = having(state["playlists"], playlist_name=args["playlist_name"])
    require(not taken, "conflict", f"You have a playlist named {args['playlist_name']} already.")
    playlist_id = new_id(state, "PLS")
    state["playlists"][playlist_id] = {
        "playlist_id": playlist_id, **only(args, "playlist_name playlist_description"), "track_ids": [],
    }  # fmt: skip
    return _show(state, state["playlists"][playlist_id])


@write(
    "playlist_id track_id",
    F.object(FULL_PLAYLIST),
    "add a track to a playlist",
    "put a track on a playlist",
)
def add_playlist_track(state: State, args: Arguments) -> Any:
    """Add a track to the end of a playlist. A track stands in a playlist only once."""
    playlist, track = (
        _playlist(state, args["playlist_id"]),
        lookup(state["tracks"], args["track_id"], "Track"),
    )
    inside = args["track_id"] in playlist["track_ids"]
    require(not inside, "conflict", f"{track['track_title']} is on this playlist already.")
    playlist["track_ids"].append(args["track_id"])
    return _show(state, playlist)


@write(
    "playlist_id track_position",
    F.object(FULL_PLAYLIST),
    "take a track off a playlist",
    "remove a track from a playlist",
)
def remove_playlist_track(state: State, args: Arguments) -> Any:
    """Remove the track at a position of a playlist."""
    playlist, position = _playlist(state, args["playlist_id"]), args["track_position"]
    total = len(playlist["track_ids"])
    require(position <= total, "invalid_arguments", f"The playlist has {total} tracks, none at {position}.")
    del playlist["track_ids"][position - 1]
    return _show(state, playlist)


@write(
    "playlist_id playlist_name", F.object(FULL_PLAYLIST), "rename a playlist", "change the name of a playlist"
)
def rename_playlist(state: State, args: Arguments) -> Any:
    """Give a playlist another name. Names of playlists are unique."""
    playlist = _playlist(state, args["playlist_id"])
    taken = having(state["playlists"], playlist_name=args["playlist_name"])
    require(not taken, "conflict", f"You have a playlist named {args['playlist_name']} already.")
    playlist["playlist_name"] = args["playlist_name"]
    return _show(state, playlist)


@write(
    "track_id",
    F.object("track_id track_title artist_name queue_position"),
    "play a track next",
    "add a track to the queue",
)
def queue_track(state: State, args: Arguments) -> Any:
    """Add a track to the end of the queue of what plays next."""
    track = lookup(state["tracks"], args["track_id"], "Track")
    state["queue"].append(args["track_id"])
    return {**only(track, "track_id track_title artist_name"), "queue_position": len(state["queue"])}


def _unlisted(state: State) -> list[str]:
    listed = [track for playlist in state["playlists"].values() for track in playlist["track_ids"]]
    return [track for track in state["tracks"] if track not in listed]


MACHINE: Final = machine(
    "music",
    "Music Library",
    "Music streaming: artists, albums, tracks, recommendations, playlists, liked tracks and the queue.",
    domain="media",
    fields=F,
    tools=(
        search_tracks, get_track, list_artists_by_genre, list_artist_albums, get_album, follow_artist,
        like_track, list_similar_tracks, list_my_playlists, get_playlist, create_playlist, add_playlist_track,
        remove_playlist_track, rename_playlist, queue_track,
    ),
    initial=initial,
    pools={
        "query": lambda s: [t["track_title"].lower() for t in s["tracks"].values()],
        "artist_id": lambda s: list(s["artists"]),
        "follow_artist.artist_id": lambda s: [
            artist["artist_id"] for artist in having(s["artists"], is_followed=False)
        ],
        "album_id": lambda s: list(s["albums"]),
        "track_id": lambda s: list(s["tracks"]),
        "like_track.track_id": lambda s: [t["track_id"] for t in having(s["tracks"], is_liked=False)],
        "add_playlist_track.track_id": _unlisted,
        "playlist_id": lambda s: list(s["playlists"]),
        "remove_playlist_track.playlist_id": lambda s: [
            k for k, p in s["playlists"].items() if len(p["track_ids"]) >= 5
        ],
    },
)  # fmt: skip
