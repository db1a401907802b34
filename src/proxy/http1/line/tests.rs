use super::{Failure, Line};
use crate::net::awake;
use crate::net::pair::{pair, turn as next_turn, with_sockets};
use crate::net::turn;
use crate::net::worker::spawn_local;
use crate::proxy::http1::answer::Answer;
use http_body::Frame;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, proptest};
use std::future::poll_fn;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A request that waits for its answer, and the upstream's side.
async fn asked(line: &Line, theirs: &mut UnixStream) {
    line.write(|head| head.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n"));
    assert!(!line.is_open(), "it has something to say");
    let deadlines = Rc::default();
    let mut answer = std::pin::pin!(line.answer(None, false, &deadlines));
    let begun = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx).is_pending()));
    assert!(begun.await);
    let mut request = [0; 18];
    theirs.read_exact(&mut request).unwrap();
    assert_eq!(&request, b"GET / HTTP/1.1\r\n\r\n");
}

/// Everything of an answer's content, and its trailers' number.
async fn content(line: &Line, answer: &mut Answer) -> Result<(Vec<u8>, usize), Failure> {
    let (mut content, mut trailers) = (Vec::new(), 0);
    while let Some(frame) = poll_fn(|cx| line.poll_frame(&mut answer.content, cx)).await {
        match Frame::into_data(frame?) {
            Ok(data) => content.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().unwrap().len(),
        }
    }
    Ok((content, trailers))
}

type Heard = Result<(u16, Vec<u8>, usize), Failure>;

/// What is made of bytes that come in these pieces, the connection's end behind
/// them; and whether a request could have followed before that.
fn heard(pieces: &[&[u8]], of_head: bool) -> (Heard, bool) {
    let mut outcome = None;
    with_sockets(async {
        let (ours, mut theirs) = pair().await;
        let line = Line::new(ours, None);
        asked(&line, &mut theirs).await;
        let mut reading = Box::pin(async {
            let mut answer = line.answer(None, of_head, &Rc::default()).await?;
            let (content, trailers) = content(&line, &mut answer).await?;
            Ok((answer.head.status.as_u16(), content, trailers))
        });
        let mut done = None;
        for piece in pieces {
            if done.is_some() {
                break;
            }
            theirs.write_all(piece).unwrap();
            next_turn().await;
            let look = |cx: &mut Context<'_>| match reading.as_mut().poll(cx) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending => Poll::Ready(None),
            };
            done = poll_fn(look).await;
        }
        let is_open = done.is_some() && line.is_open();
        drop(theirs);
        outcome = Some((
            match done {
                Some(done) => done,
                None => reading.await,
            },
            is_open,
        ));
    });
    outcome.unwrap()
}

fn of(text: &str) -> (Heard, bool) {
    heard(&[text.as_bytes()], false)
}

fn is_malformed(text: &str) -> bool {
    matches!(of(text), (Err(Failure::Malformed), false))
}

fn is_cut(text: &str) -> bool {
    matches!(of(text), (Err(Failure::Lost), false))
}

#[test]
fn content_reaches_as_far_as_its_head_says() {
    for (text, status, expected, is_open) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
            200,
            "ab",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            200,
            "",
            true,
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            304,
            "",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\n\r\nto the end",
            200,
            "to the end",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab",
            200,
            "ab",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: a, Close\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
            200,
            "",
            false,
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab",
            200,
            "ab",
            false,
        ),
        (
            "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nab",
            200,
            "ab",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 9\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            200,
            "ab",
            true,
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
            101,
            "",
            false,
        ),
        // Unasked for: whatever it is, the connection is not used again.
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 200 OK\r\n",
            200,
            "ab",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab\r\n",
            200,
            "ab",
            false,
        ),
    ] {
        let (heard, open) = of(text);
        let (code, content, _) = heard.unwrap_or_else(|why| panic!("{text:?}: {why}"));
        assert_eq!(
            (code, &*content, open),
            (status, expected.as_bytes(), is_open),
            "{text:?}"
        );
    }
}

#[test]
fn the_answer_to_head_has_no_content() {
    let text = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let (heard, is_open) = heard(&[text], true);
    assert_eq!(heard.unwrap().1, b"");
    assert!(is_open);
}

#[test]
fn what_is_no_answer_is_none() {
    for text in [
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 99 Odd\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\na",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\na",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxy\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\nab",
    ] {
        assert!(is_malformed(text), "{text:?}: {:?}", of(text).0);
    }
    let much = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(101));
    assert!(is_malformed(&much));
    let long = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(300 * 1024));
    let pieces: Vec<&[u8]> = long.as_bytes().chunks(8 * 1024).collect();
    assert!(matches!(heard(&pieces, false).0, Err(Failure::Malformed)));
}

#[test]
fn an_early_end_is_told() {
    for text in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 103 Early Hints\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    ] {
        assert!(is_cut(text), "{text:?}");
    }
}

#[test]
fn what_comes_before_the_answer_is_told_apart() {
    with_sockets(async {
        let (ours, mut theirs) = pair().await;
        let line = Line::new(ours, None);
        asked(&line, &mut theirs).await;
        theirs
            .write_all(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
            .unwrap();
        let answer = line.answer(None, false, &Rc::default()).await.unwrap();
        assert_eq!(answer.head.status.as_u16(), 204);
        assert!(answer.head.headers.is_empty());
        assert_eq!(line.interim(), [103, 100]);
        assert_eq!(line.interim(), [0; 0]);
    });
    let endless = "HTTP/1.1 102 Processing\r\n\r\n".repeat(1_001);
    let pieces: Vec<&[u8]> = endless.as_bytes().chunks(8 * 1024).collect();
    assert!(matches!(heard(&pieces, false).0, Err(Failure::Malformed)));
}

#[test]
fn a_reason_of_its_own_is_kept() {
    with_sockets(async {
        let (ours, mut theirs) = pair().await;
        let line = Line::new(ours, None);
        asked(&line, &mut theirs).await;
        theirs
            .write_all(b"HTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        let answer = line.answer(None, false, &Rc::default()).await.unwrap();
        let reason = answer.head.extensions.get::<hyper::ext::ReasonPhrase>();
        assert_eq!(reason.unwrap().as_bytes(), b"Fine");
    });
}

#[test]
fn an_end_while_it_is_idle_is_noticed() {
    with_sockets(async {
        let (ours, mut theirs) = pair().await;
        let line = Line::new(ours, None);
        asked(&line, &mut theirs).await;
        theirs
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .unwrap();
        line.answer(None, false, &Rc::default()).await.unwrap();
        assert!(line.is_open() && line.is_clean());
        drop(theirs);
        next_turn().await;
        assert!(!line.is_open());
    });
}

/// Many callers' requests are read before any goes out: one that is given up by
/// then never does.
#[test]
fn what_is_given_up_within_the_turn_is_not_sent() {
    with_sockets(async {
        spawn_local(turn::ends());
        next_turn().await;
        for is_given_up in [true, false] {
            let (ours, mut theirs) = pair().await;
            theirs.set_nonblocking(true).unwrap();
            let line = Line::new(ours, None);
            line.write(|head| head.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n"));
            let deadlines = Rc::default();
            let mut answer = Box::pin(line.answer(None, false, &deadlines));
            let begun = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx).is_pending()));
            assert!(begun.await);
            let mut sent = [0; 64];
            assert!(theirs.read(&mut sent).is_err(), "the turn has not ended");
            if is_given_up {
                drop(answer);
                drop(line);
                next_turn().await;
                assert_eq!(theirs.read(&mut sent).unwrap(), 0);
            } else {
                next_turn().await;
                assert_eq!(theirs.read(&mut sent).unwrap(), 18);
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// An answer is the same however its bytes come.
    #[test]
    fn pieces_change_nothing(cuts in vec(1..40_usize, 1..8), which in 0..4_usize) {
        let text = [
            "HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nX-T: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nX-A: b\r\nBroken\r\n\r\nhello",
        ][which];
        let mut rest = text.as_bytes();
        let mut pieces = Vec::new();
        for cut in cuts.iter().cycle() {
            let (piece, behind) = rest.split_at(rest.len().min(*cut));
            pieces.push(piece);
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        let (whole, _) = of(text);
        let (in_pieces, _) = heard(&pieces, false);
        assert_eq!(format!("{whole:?}"), format!("{in_pieces:?}"));
    }
}

#[test]
fn an_answer_is_awaited_until_it_is_here_or_given_up() {
    with_sockets(async {
        awake::enable_for(Duration::from_secs(30));
        awake::took(Duration::ZERO);
        let (ours, mut theirs) = pair().await;
        let line = Line::new(ours, None);
        assert!(!awake::goes_on());
        // Given up within.
        asked(&line, &mut theirs).await;
        assert!(!awake::goes_on());
        let deadlines = Rc::default();
        let mut answer = Box::pin(line.answer(None, false, &deadlines));
        let begun = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx).is_pending()));
        assert!(begun.await && awake::goes_on());
        theirs
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .unwrap();
        assert_eq!(answer.await.unwrap().head.status, 204);
        assert!(!awake::goes_on());
    });
}
