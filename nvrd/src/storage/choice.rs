//! Which storage takes new files: the first that can, with patience before one that failed is taken again.

use std::time::Duration;

/// So long a storage must have been well before it takes new files again.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How a storage is, for the choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fitness {
    /// It takes files; it was never unfit since the start, or is well since that moment.
    Well(Option<Duration>),
    /// It is there, but full.
    Full,
    /// It takes none.
    Unfit,
}

/// The storage that takes new files now, given the one that does so far; `None` when none can.
pub(super) fn choose(all: &[Fitness], current: Option<usize>, now: Duration) -> Option<usize> {
    let well = |fitness: &Fitness| matches!(fitness, Fitness::Well(_));
    let settled = |(index, fitness): (usize, &Fitness)| match fitness {
        Fitness::Well(None) => true,
        // The one in use stays in use: it is no better to leave it.
        Fitness::Well(Some(since)) => {
            current == Some(index) || now.saturating_sub(*since) >= PATIENCE
        }
        _ => false,
    };
    all.iter()
        .enumerate()
        .position(settled)
        .or_else(|| all.iter().position(well))
        // Full everywhere: the recorder goes on as soon as there is room.
        .or_else(|| all.iter().position(|fitness| *fitness == Fitness::Full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_can_is_taken_with_patience() {
        let s = Duration::from_secs;
        let since = |seconds: u64| Fitness::Well(Some(s(seconds)));
        let (well, full, unfit) = (Fitness::Well(None), Fitness::Full, Fitness::Unfit);
        let check = |all: &[Fitness], current: Option<usize>, expect: Option<usize>| {
            assert_eq!(
                choose(all, current, s(100)),
                expect,
                "{all:?} from {current:?}"
            );
        };
        check(&[well, well], None, Some(0));
        check(&[unfit, well], Some(0), Some(1));
        check(&[full, well], Some(0), Some(1));
        check(&[since(41), well], Some(1), Some(1));
        check(&[since(40), well], Some(1), Some(0));
        check(&[since(99), since(98)], Some(1), Some(1));
        check(&[since(99), unfit], Some(1), Some(0));
        check(&[since(99), full], None, Some(0));
        check(&[unfit, full], Some(0), Some(1));
        check(&[unfit, unfit], Some(0), None);
        check(&[], None, None);
    }
}
