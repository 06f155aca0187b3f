"""HTTP/2 requests and frames that break a rule: a wrong request costs a stream, a wrong frame the session."""

import time

import pytest
from hyperframe import frame as frames

from support import configs, names
from support.h2client import (ENABLE_PUSH, H2, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, PREFACE, Code, Exchange, connect,
                              raw_frame)
from support.settings import patient

CONFIG = configs.config(configs.http2(max_body_size="64KiB", max_header_list_size="8KiB"), configs.http2("free"))
HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 1, 3, 4, 5, 6, 7, 8, 9
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
METHOD, SCHEME, PATH, AUTHORITY = (":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "x")

MALFORMED = {
    "no_method": [SCHEME, PATH, AUTHORITY],
    "no_scheme": [METHOD, PATH, AUTHORITY],
    "no_path": [METHOD, SCHEME, AUTHORITY],
    "empty_path": [METHOD, SCHEME, (":path", ""), AUTHORITY],
    "path_without_slash": [METHOD, SCHEME, (":path", "a"), AUTHORITY],
    "two_methods": [METHOD, METHOD, SCHEME, PATH, AUTHORITY],
    "two_paths": [METHOD, SCHEME, PATH, (":path", "/b"), AUTHORITY],
    "two_authorities": [METHOD, SCHEME, PATH, AUTHORITY, AUTHORITY],
    "unknown_pseudo": [METHOD, SCHEME, PATH, AUTHORITY, (":what", "x")],
    "pseudo_of_answers": [METHOD, SCHEME, PATH, AUTHORITY, (":status", "200")],
    "pseudo_after_others": [METHOD, SCHEME, AUTHORITY, ("a", "b"), PATH],
    "uppercase": [METHOD, SCHEME, PATH, AUTHORITY, ("X-Upper", "x")],
    "space_in_name": [METHOD, SCHEME, PATH, AUTHORITY, ("a b", "x")],
    "colon_in_name": [METHOD, SCHEME, PATH, AUTHORITY, ("a:b", "x")],
    "empty_name": [METHOD, SCHEME, PATH, AUTHORITY, ("", "x")],
    "newline_in_value": [METHOD, SCHEME, PATH, AUTHORITY, ("a", "b\r\nc: d")],
    "nul_in_value": [METHOD, SCHEME, PATH, AUTHORITY, ("a", "b\0c")],
    "connection": [METHOD, SCHEME, PATH, AUTHORITY, ("connection", "close")],
    "keep_alive": [METHOD, SCHEME, PATH, AUTHORITY, ("keep-alive", "1")],
    "proxy_connection": [METHOD, SCHEME, PATH, AUTHORITY, ("proxy-connection", "x")],
    "transfer_encoding": [METHOD, SCHEME, PATH, AUTHORITY, ("transfer-encoding", "chunked")],
    "upgrade": [METHOD, SCHEME, PATH, AUTHORITY, ("upgrade", "websocket")],
    "te_gzip": [METHOD, SCHEME, PATH, AUTHORITY, ("te", "gzip")],
    "length_not_a_number": [METHOD, SCHEME, PATH, AUTHORITY, ("content-length", "1x")],
    "two_lengths": [METHOD, SCHEME, PATH, AUTHORITY, ("content-length", "0"), ("content-length", "1")],
    "length_but_no_body": [METHOD, SCHEME, PATH, AUTHORITY, ("content-length", "5")],
    "method_not_a_token": [(":method", "G T"), SCHEME, PATH, AUTHORITY],
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_request_costs_its_stream(web, kind):
    session = connect(web)
    before = web.listener()["http2"]["stream_errors"].get("PROTOCOL_ERROR", 0)
    stream = session.wait(session.open(MALFORMED[kind]))
    if stream.headers:
        assert stream.status == 400, stream.headers
    else:
        assert stream.reset == Code.PROTOCOL_ERROR
        assert web.listener()["http2"]["stream_errors"]["PROTOCOL_ERROR"] == before + 1
    assert session.lives() and not session.goaways


@pytest.mark.parametrize("length,body", [("5", b"four"), ("3", b"four"), ("0", b"x")])
def test_a_wrong_content_length(web, length, body):
    session = connect(web)
    stream = session.begin("POST", "/echo", [("content-length", length)], end=False)
    session.send_data(stream, body, end=True)
    session.wait(stream)
    assert stream.reset == Code.PROTOCOL_ERROR or stream.status == 400
    assert session.lives()


def test_pseudo_fields_in_trailers(web):
    session = connect(web)
    stream = session.begin("POST", "/echo", end=False)
    session.send_data(stream, b"x")
    session.send_block(stream.number, [(":path", "/x")], end=True)
    session.wait(stream)
    assert stream.reset == Code.PROTOCOL_ERROR and session.lives()


def test_te_trailers_is_allowed(web):
    assert connect(web).ask(headers=[("te", "trailers")]).status == 200


class TestAnswered:
    """Requests that HTTP/2 allows and we refuse."""

    def test_host_that_differs(self, web):
        session = connect(web)
        assert session.ask(headers=[("host", "other.example")]).status == 400
        assert session.ask(headers=[("host", "localhost")]).status == 200

    def test_no_host_at_all(self, web):
        session = connect(web)
        stream = session.wait(session.open([METHOD, SCHEME, PATH]))
        assert stream.status == 400 or stream.reset == Code.PROTOCOL_ERROR
        assert session.lives()

    @pytest.mark.parametrize("authority", ["user@x", "x y", "[::1", "x:port", ""])
    def test_bad_authority(self, web, authority):
        session = connect(web)
        stream = session.begin(authority=authority)
        session.wait(stream)
        assert stream.status == 400 or stream.reset == Code.PROTOCOL_ERROR
        assert session.lives()

    @pytest.mark.parametrize("path", ["/%00", "/%zz", "/a\\b%0"])
    def test_bad_path(self, web, path):
        session = connect(web)
        assert session.ask(path=path).status == 400 and session.lives()

    def test_connect(self, web):
        session = connect(web)
        stream = session.wait(session.open([(":method", "CONNECT"), (":authority", "x:443")]))
        assert stream.status in (405, 501) or stream.reset in (Code.PROTOCOL_ERROR, Code.REFUSED_STREAM)
        assert session.lives()

    def test_extended_connect_is_not_offered(self, web):
        session = connect(web)
        session.until(lambda: session.settings is not None)
        assert session.settings.get(8, 0) == 0
        fields = [(":method", "CONNECT"), (":protocol", "websocket"), SCHEME, PATH, AUTHORITY]
        stream = session.wait(session.open(fields))
        assert stream.reset == Code.PROTOCOL_ERROR or stream.status in (400, 405, 501)
        assert session.lives()

    @pytest.mark.parametrize("path", ["/echo", "/"])
    def test_body_too_large(self, web, path):
        session = connect(web)
        assert session.ask("POST", path, body=b"x" * 65536).status == 200
        stream = session.begin("POST", path, [("content-length", "65537")], end=False)
        assert session.until(lambda: stream.headers or stream.done) and stream.status == 413
        session.wait(stream)
        stream = session.begin("POST", path, end=False)
        session.send_data(stream, b"x" * 70000, end=True)
        session.wait(stream)
        assert stream.status == 413 or (path == "/echo" and stream.reset is not None)
        assert session.lives()

    def test_header_list_too_large(self, web):
        session = connect(web)
        assert session.ask(headers=[("x-long", "y" * 7000)]).status == 200
        assert session.ask(headers=[("x-long", "y" * 9000)]).status == 431
        assert session.ask(headers=[(f"x-{n}", "y") for n in range(250)]).status == 431
        assert session.lives()

    def test_long_path(self, web):
        session = connect(web)
        assert session.ask(path="/" + "x" * 9000).status in (414, 431) and session.lives()


OPEN_BLOCK = raw_frame(HEADERS, END_STREAM, 1, b"\x82")  # CONTINUATION must follow


# What a client sends after its preface, and the code of the GOAWAY that follows.
WRONG_FRAMES = {
    "data_on_stream_0": (raw_frame(0, 0, 0, b"x"), Code.PROTOCOL_ERROR),
    "data_on_an_idle_stream": (raw_frame(0, 0, 1, b"x"), Code.PROTOCOL_ERROR),
    "headers_on_stream_0": (raw_frame(HEADERS, END_HEADERS, 0, b"\x82"), Code.PROTOCOL_ERROR),
    "headers_on_an_even_stream": (raw_frame(HEADERS, END_HEADERS | END_STREAM, 2, b"\x82\x86\x84"),
                                  Code.PROTOCOL_ERROR),
    "too_long_a_frame": (raw_frame(0, 0, 1, b"x" * 16385), Code.FRAME_SIZE_ERROR),
    "ping_of_7_bytes": (raw_frame(PING, 0, 0, b"1234567"), Code.FRAME_SIZE_ERROR),
    "ping_on_a_stream": (raw_frame(PING, 0, 1, b"12345678"), Code.PROTOCOL_ERROR),
    "settings_of_5_bytes": (raw_frame(SETTINGS, 0, 0, b"12345"), Code.FRAME_SIZE_ERROR),
    "settings_on_a_stream": (raw_frame(SETTINGS, 0, 1, b""), Code.PROTOCOL_ERROR),
    "ack_with_settings": (raw_frame(SETTINGS, 1, 0, b"123456"), Code.FRAME_SIZE_ERROR),
    "push_setting_2": (frames.SettingsFrame(0, settings={ENABLE_PUSH: 2}).serialize(), Code.PROTOCOL_ERROR),
    "window_setting_too_large": (frames.SettingsFrame(0, settings={INITIAL_WINDOW_SIZE: 2**31}).serialize(),
                                 Code.FLOW_CONTROL_ERROR),
    "frame_size_setting_too_small": (frames.SettingsFrame(0, settings={MAX_FRAME_SIZE: 100}).serialize(),
                                     Code.PROTOCOL_ERROR),
    "window_update_of_0": (raw_frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0"), Code.PROTOCOL_ERROR),
    "window_overflow": (raw_frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2, Code.FLOW_CONTROL_ERROR),
    "window_update_of_3_bytes": (raw_frame(WINDOW_UPDATE, 0, 0, b"123"), Code.FRAME_SIZE_ERROR),
    "reset_of_an_idle_stream": (raw_frame(RST_STREAM, 0, 1, b"\0\0\0\x08"), Code.PROTOCOL_ERROR),
    "reset_of_3_bytes": (raw_frame(RST_STREAM, 0, 1, b"123"), Code.FRAME_SIZE_ERROR),
    "push_promise": (raw_frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\x02\x82"), Code.PROTOCOL_ERROR),
    "continuation_alone": (raw_frame(CONTINUATION, END_HEADERS, 1, b"\x82"), Code.PROTOCOL_ERROR),
    "another_frame_in_a_block": (OPEN_BLOCK + raw_frame(PING, 0, 0, b"12345678"), Code.PROTOCOL_ERROR),
    "another_stream_in_a_block": (OPEN_BLOCK + raw_frame(CONTINUATION, END_HEADERS, 3, b"\x86"),
                                  Code.PROTOCOL_ERROR),
    "padding_longer_than_the_frame": (raw_frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\xff\x82"),
                                      Code.PROTOCOL_ERROR),
    "hpack_index_0": (raw_frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x80"), Code.COMPRESSION_ERROR),
    "hpack_index_too_large": (raw_frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\x01"),
                              Code.COMPRESSION_ERROR),
    "hpack_table_too_large": (raw_frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x3f\xff\xff\xff\x7f\x82"),
                              Code.COMPRESSION_ERROR),
    "hpack_cut_short": (raw_frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x40\x0a"), Code.COMPRESSION_ERROR),
}


@pytest.mark.parametrize("kind", WRONG_FRAMES)
def test_a_wrong_frame_costs_the_session(web, kind):
    wire, code = WRONG_FRAMES[kind]
    before, counted = web.closed(names.PROTOCOL_ERROR), web.listener()["http2"]["session_errors"].get(code.name, 0)
    session = connect(web).sync()
    session.client.send(wire)
    session.ends_with(code)
    web.wait_closed(names.PROTOCOL_ERROR, before + 1)
    assert web.listener()["http2"]["session_errors"][code.name] == counted + 1
    assert connect(web).lives()


class TestStreamStates:
    def test_a_lower_number(self, web):
        session = connect(web)
        session.next_number = 11
        assert session.lives()
        session.next_number = 5
        stream = session.begin()
        # RFC 9113, 5.1.1 asks for a connection error; nghttp2 takes it for one that was closed, and drops it.
        session.sync()
        assert not stream.headers and (not session.goaways or session.goaways[-1][1] == Code.PROTOCOL_ERROR)

    def test_data_after_the_end(self, web):
        session = connect(web)
        stream = session.begin("POST", "/echo", end=False)
        session.data_frame(stream, b"x", end=True)
        session.data_frame(stream, b"y")
        session.until(lambda: stream.done or session.goaways)
        code = session.goaways[-1][1] if session.goaways else stream.reset
        assert code in (None, Code.STREAM_CLOSED)  # None: the stream was answered and forgotten before
        assert connect(web).lives()

    def test_data_on_a_reset_stream_is_dropped(self, web):
        session = connect(web)
        stream = session.begin("POST", "/echo", end=False)
        session.cancel(stream)
        session.data_frame(stream, b"late")
        session.sync()
        assert session.lives()

    def test_a_stream_that_passes_its_window(self, web):
        session = connect(web, "free", window=0)
        stream = session.begin("POST", "/echo", end=False)
        session.sync()
        for _ in range(20):
            session.data_frame(stream, b"x" * 16384)
        session.until(lambda: stream.reset is not None or session.goaways)
        assert Code.FLOW_CONTROL_ERROR in (stream.reset, *(code for _, code in session.goaways))

    def test_the_clients_goaway(self, web):
        """What was begun is finished; then the session ends."""
        session = connect(web)
        stream = session.begin("POST", "/echo", end=False)
        session.send_frame(frames.GoAwayFrame(0, last_stream_id=0, error_code=0))
        session.send_data(stream, b"bye", end=True)
        assert session.wait(stream).body == b"bye"
        assert session.until_closed() == "fin"

    def test_the_clients_goaway_costs_no_answer(self, web):
        """It goes on to send WINDOW_UPDATEs, which must not meet a socket that is closed already."""
        for _ in range(10):
            session = connect(web)
            streams = [session.begin(path="/big") for _ in range(3)]
            session.send_frame(frames.GoAwayFrame(0, last_stream_id=0, error_code=0))
            session.wait(*streams)
            assert {len(stream.body) for stream in streams} == {configs.BIG_SIZE}
            assert session.until_closed() == "fin"


class TestPreface:
    def test_none_in_time(self, start):
        sluice = start(configs.config(configs.http2(handshake_timeout="500ms")))
        client = sluice.connect()
        client.send(PREFACE[:10])
        client.ending()
        sluice.wait_closed(names.HANDSHAKE_TIMEOUT)

    def test_none_in_time_under_tls(self, start):
        """The preface belongs to the handshake: TLS that is done in time does not begin it anew."""
        sluice = start(configs.config(configs.http2(tls=configs.SELF_SIGNED, handshake_timeout="500ms")))
        connect(sluice, preface=False).client.ending()
        sluice.wait_closed(names.HANDSHAKE_TIMEOUT)

    @pytest.mark.parametrize("junk", [b"\0" * 50, b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
                                      PREFACE + raw_frame(PING, 0, 0, b"x" * 8)])
    def test_a_wrong_one(self, web, junk):
        client = web.connect()
        client.send(junk)
        client.ending()
        assert connect(web).lives()

    def test_byte_by_byte(self, web):
        session = H2(web.connect(), preface=False)
        wire = PREFACE + raw_frame(SETTINGS) + raw_frame(
            HEADERS, END_HEADERS | END_STREAM, 1, session.encoder.encode(session.fields()))
        stream = session.streams[1] = Exchange(1, 65535)
        for byte in wire:
            session.client.send(bytes([byte]))
        assert session.wait(stream).body == b"hello\n"

    def test_headers_at_once(self, web):
        """A client need not wait for the server's SETTINGS."""
        session = connect(web)
        assert [session.wait(stream).status for stream in [session.begin() for _ in range(10)]] == [200] * 10


class TestSessionTimeouts:
    LIMIT = patient(0.9)  # in which a client makes a request, however busy the machine is

    def idle_config(self, **more):
        return configs.config(configs.http2(session_idle_timeout=f"{self.LIMIT * 1000:.0f}ms", **more))

    def test_session_idle_timeout(self, start):
        sluice = start(self.idle_config())
        session = connect(sluice)
        assert session.lives()
        session.sync()
        assert session.until_closed(self.LIMIT + patient(1)) == "fin"
        session.client.close()
        assert session.goaways and session.goaways[-1][1] == Code.NO_ERROR
        sluice.wait_closed(names.SESSION_IDLE)

    def test_a_busy_one_is_not_idle(self, start):
        sluice = start(self.idle_config(min_data_rate=0))
        session = connect(sluice)
        stream = session.begin("POST", "/echo", end=False)
        ending = time.monotonic() + self.LIMIT + 0.5
        while time.monotonic() < ending:
            assert sluice.closed(names.SESSION_IDLE) == 0
            time.sleep(0.05)
        session.send_data(stream, b"x", end=True)
        assert session.wait(stream).body == b"x"

    def test_max_requests_per_connection(self, start):
        sluice = start(configs.config(configs.http2(max_requests_per_connection=20)))
        session, answered = connect(sluice), 0
        while not session.goaways:
            answered += session.lives()
        assert 18 <= answered <= 22 and session.goaways[0][1] == Code.NO_ERROR
        assert session.until_closed() == "fin"
        session.client.close()
        assert session.goaways[-1][0] >= 2 * answered - 1
        sluice.wait_closed(names.MAX_REQUESTS)
