//! Sending to a receiver that may have left.

use std::sync::mpsc::SendError;

/// What a channel inside this process says of a value whose receiver may have left. That is the
/// only error that it has: nobody wants the value any more, and it is dropped.
pub(crate) fn may_be_unheard<T>(sent: Result<(), SendError<T>>) {
    if let Err(SendError(unwanted)) = sent {
        drop(unwanted);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{channel, sync_channel};

    use super::*;

    #[test]
    fn a_value_is_received_or_dropped_and_nothing_waits() {
        let value = Arc::new(());
        let (sender, receiver) = channel();
        may_be_unheard(sender.send(Arc::clone(&value)));
        assert!(receiver.try_recv().is_ok());
        drop(receiver);
        may_be_unheard(sender.send(Arc::clone(&value)));
        let (sender, receiver) = sync_channel(0);
        drop(receiver);
        may_be_unheard(sender.send(Arc::clone(&value)));
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
