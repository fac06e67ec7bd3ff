//! One token that tells every part of the daemon to stop.

use tokio::sync::watch;

/// Clones share one flag, which is set once and never cleared.
#[derive(Debug, Clone)]
pub struct Shutdown {
    flag: watch::Sender<bool>,
}

impl Shutdown {
    /// A token that is not set.
    #[expect(
        clippy::new_without_default,
        reason = "two defaults would be two tokens, never wanted by accident"
    )]
    pub fn new() -> Self {
        Self {
            flag: watch::Sender::new(false),
        }
    }

    /// Sets the flag; whoever waits goes on.
    pub fn trigger(&self) {
        self.flag.send_replace(true);
    }

    /// Whether the flag is set.
    pub fn is_triggered(&self) -> bool {
        *self.flag.borrow()
    }

    /// Waits until the flag is set.
    pub async fn wait(&self) {
        let mut receiver = self.flag.subscribe();
        // Fails only when the sender is gone, and `self` holds it.
        receiver
            .wait_for(|set| *set)
            .await
            .map(drop)
            .unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_wakes() {
        let token = Shutdown::new();
        let other = token.clone();
        assert!(!other.is_triggered());
        let waiter = tokio::spawn(async move { other.wait().await });
        token.trigger();
        waiter.await.unwrap();
        token.wait().await;
        assert!(token.is_triggered());
    }
}
