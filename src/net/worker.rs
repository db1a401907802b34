//! A worker's thread and its event loop.

use std::future::Future;
use std::io;
use std::thread;
use tokio::runtime::{Builder, LocalOptions};

/// Starts an OS thread with an event loop of its own and runs `main` on it.
/// The future is made on the thread, so nothing in it needs to be `Send`.
///
/// # Errors
/// When the operating system gives no thread.
pub fn spawn<F, M>(name: String, main: M) -> io::Result<thread::JoinHandle<io::Result<()>>>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    thread::Builder::new().name(name).spawn(move || {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build_local(LocalOptions::default())?;
        runtime.block_on(main());
        Ok(())
    })
}

/// Runs a task on the calling worker, beside the others.
pub fn spawn_local(task: impl Future<Output = ()> + 'static) {
    tokio::task::spawn_local(task);
}
