//! Connecting to the first of several addresses that answers (RFC 8305, "happy
//! eyeballs").

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// How long an address is tried alone before the next is tried beside it
/// (RFC 8305, 5).
const STAGGER: Duration = Duration::from_millis(250);
/// Addresses of a name that are tried.
const MOST_ADDRESSES: usize = 16;
/// Addresses whose errors are told.
const MOST_TOLD: usize = 4;

/// Connects to the addresses, the families by turns: the next is tried when one
/// has failed, or has not answered for 250 ms. The first to connect wins, the
/// others are dropped.
///
/// # Errors
/// When none connected; what each address said, of the first few.
pub async fn race<T, F: Future<Output = io::Result<T>>>(
    addresses: &[SocketAddr],
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T> {
    match addresses {
        [] => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        )),
        [only] => connect(*only).await,
        several => {
            let mut race = Race {
                waiting: interleaved(several).into_iter(),
                connect,
                running: Vec::new(),
                failed: Vec::new(),
                next: Box::pin(sleep(STAGGER)),
            };
            race.start_next();
            poll_fn(|cx| race.poll(cx)).await
        }
    }
}

/// The families by turns, that of the first address first (RFC 8305, 4).
fn interleaved(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let of = |family: bool| addresses.iter().filter(move |a| a.is_ipv6() == family);
    let (mut ones, mut others) = (of(first), of(!first));
    let mut mixed = Vec::new();
    loop {
        let before = mixed.len();
        mixed.extend(ones.next());
        mixed.extend(others.next());
        if mixed.len() == before {
            mixed.truncate(MOST_ADDRESSES);
            return mixed;
        }
    }
}

struct Race<C, F> {
    waiting: std::vec::IntoIter<SocketAddr>,
    connect: C,
    running: Vec<(SocketAddr, Pin<Box<F>>)>,
    failed: Vec<(SocketAddr, io::Error)>,
    next: Pin<Box<Sleep>>,
}

impl<T, F: Future<Output = io::Result<T>>, C: Fn(SocketAddr) -> F> Race<C, F> {
    fn start_next(&mut self) {
        if let Some(address) = self.waiting.next() {
            let attempt = Box::pin((self.connect)(address));
            self.running.push((address, attempt));
            let after = tokio::time::Instant::now() + STAGGER;
            self.next.as_mut().reset(after);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        loop {
            if let Some(winner) = self.poll_running(cx) {
                return Poll::Ready(Ok(winner));
            }
            if self.waiting.len() == 0 {
                return match self.running.is_empty() {
                    true => Poll::Ready(Err(self.told())),
                    false => Poll::Pending,
                };
            }
            let is_time = self.next.as_mut().poll(cx).is_ready();
            if !is_time && !self.running.is_empty() {
                return Poll::Pending;
            }
            self.start_next();
        }
    }

    /// A failed one lets the next start at once.
    fn poll_running(&mut self, cx: &mut Context<'_>) -> Option<T> {
        let mut at = 0;
        while at < self.running.len() {
            let (address, attempt) = &mut self.running[at];
            match attempt.as_mut().poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(Ok(winner)) => return Some(winner),
                Poll::Ready(Err(error)) => {
                    self.failed.push((*address, error));
                    drop(self.running.remove(at));
                    self.start_next();
                }
            }
        }
        None
    }

    fn told(&mut self) -> io::Error {
        let kind = self.failed.first().map(|(_, error)| error.kind());
        let told = self.failed.iter().take(MOST_TOLD);
        let mut said: Vec<_> = told.map(|(at, error)| format!("{at}: {error}")).collect();
        if self.failed.len() > MOST_TOLD {
            said.push(format!("and {} more", self.failed.len() - MOST_TOLD));
        }
        io::Error::new(kind.unwrap_or(io::ErrorKind::Other), said.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::{interleaved, race};
    use std::cell::RefCell;
    use std::io;
    use std::net::SocketAddr;
    use std::time::Duration;
    use tokio::time::{Instant, sleep};

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// What each port does: connects after so many ms, or fails after them.
    async fn run(
        list: &[SocketAddr],
        does: &[(u16, u64, bool)],
    ) -> (io::Result<u16>, Vec<(u16, u64)>) {
        let start = Instant::now();
        let tried = RefCell::new(Vec::new());
        let connect = |address: SocketAddr| {
            let port = address.port();
            let waited = start.elapsed().as_millis() as u64;
            tried.borrow_mut().push((port, waited));
            let &(_, after, connects) = does.iter().find(|(p, ..)| *p == port).unwrap();
            async move {
                sleep(Duration::from_millis(after)).await;
                match connects {
                    true => Ok(port),
                    false => Err(io::ErrorKind::ConnectionRefused.into()),
                }
            }
        };
        let result = race(list, connect).await;
        (result, tried.into_inner())
    }

    #[test]
    fn families_take_turns() {
        let list = addresses(&["[::1]:1", "[::1]:2", "[::1]:3", "1.1.1.1:4", "1.1.1.1:5"]);
        let ports: Vec<_> = interleaved(&list).iter().map(SocketAddr::port).collect();
        assert_eq!(ports, [1, 4, 2, 5, 3]);
        let many: Vec<_> = (0..100)
            .map(|p| SocketAddr::from(([1, 1, 1, 1], p)))
            .collect();
        assert_eq!(interleaved(&many).len(), 16);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_is_passed_by_after_a_quarter_of_a_second() {
        let list = addresses(&["[::1]:1", "1.1.1.1:2", "1.1.1.1:3"]);
        let (won, tried) = run(&list, &[(1, 60_000, true), (2, 10, true), (3, 0, true)]).await;
        assert_eq!(won.unwrap(), 2);
        assert_eq!(tried, [(1, 0), (2, 250)]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_fails_lets_the_next_start_at_once() {
        let list = addresses(&["[::1]:1", "1.1.1.1:2", "1.1.1.1:3"]);
        let does = [(1, 20, false), (2, 60_000, true), (3, 5, true)];
        let (won, tried) = run(&list, &does).await;
        assert_eq!(won.unwrap(), 3);
        assert_eq!(tried, [(1, 0), (2, 20), (3, 270)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_may_still_win_after_the_second_was_started() {
        let list = addresses(&["[::1]:1", "1.1.1.1:2"]);
        let (won, tried) = run(&list, &[(1, 300, true), (2, 100, true)]).await;
        assert_eq!(won.unwrap(), 1);
        assert_eq!(tried.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn where_none_connects_each_has_its_say() {
        let list = addresses(&["[::1]:1", "1.1.1.1:2"]);
        let (lost, _) = run(&list, &[(1, 300, false), (2, 10, false)]).await;
        let said = lost.unwrap_err().to_string();
        assert!(
            said.contains("[::1]:1: ") && said.contains("1.1.1.1:2: "),
            "{said}"
        );
        let many: Vec<_> = (0..9)
            .map(|p| SocketAddr::from(([1, 1, 1, 1], p)))
            .collect();
        let does: Vec<_> = (0..9).map(|p| (p, 0, false)).collect();
        let said = run(&many, &does).await.0.unwrap_err().to_string();
        assert!(said.ends_with("and 5 more"), "{said}");
        assert!(race(&[], |_| async { Ok(()) }).await.is_err());
    }
}
