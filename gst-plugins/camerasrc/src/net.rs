//! The one network thread that all cameras of a process share.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle};

static NET: OnceLock<Result<Handle, String>> = OnceLock::new();

/// The runtime of the network thread, started at the first call and kept until the process ends.
///
/// # Errors
/// When the system gives no thread or no epoll; the same sentence on every call.
pub fn handle() -> Result<&'static Handle, &'static str> {
    NET.get_or_init(start).as_ref().map_err(String::as_str)
}

fn start() -> Result<Handle, String> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the network thread cannot be prepared: {error}"))?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("camerasrc-net".to_owned())
        // Tasks run only while somebody blocks on the runtime; this thread does so for good.
        .spawn(move || runtime.block_on(std::future::pending::<()>()))
        .map_err(|error| format!("the network thread cannot be started: {error}"))?;
    Ok(handle)
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_thread_serves_all() {
        let name = || {
            let (send, receive) = std::sync::mpsc::channel();
            super::handle().unwrap().spawn(async move {
                let name = std::thread::current().name().map(str::to_owned);
                send.send((name, std::thread::current().id())).unwrap();
            });
            receive.recv().unwrap()
        };
        let first = name();
        assert_eq!(first.0.as_deref(), Some("camerasrc-net"));
        assert_eq!(first, name());
    }
}
