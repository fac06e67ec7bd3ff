//! What can be seen only of a camera as a whole: overlaps, time without a reason, and its chain.

use std::collections::HashSet;

use nvr_base::{Principal, Result};
use nvr_store::{MAX_LIMIT, Stretch};

use super::judge::{SEAM_US, key_of};
use super::repair::row_of_entry;
use super::{Remedy, Walk};
use crate::evidence::{self, Fault, PublicKey};

/// Most pages of the ledger that are asked for.
const MAX_PAGES: u32 = 10_000;

impl Walk<'_> {
    /// R7: segments do not overlap.
    pub(super) fn overlaps(&mut self) -> Result<()> {
        for overlap in self
            .check
            .store
            .overlaps(&self.camera, SEAM_US, MAX_LIMIT)?
        {
            let seconds = (overlap.before_us - overlap.start_us) as f64 / 1e6;
            let what = format!("it begins {seconds:.3} s before the segment before it ends");
            self.found("R7", &overlap.path, what, None);
        }
        Ok(())
    }

    /// R8: the ledger gives every moment one reason; time without a better one than `unknown` is worth a note.
    pub(super) fn unknown_time(&mut self) -> Result<()> {
        let (mut stretches, mut total_us) = (0_u64, 0_i64);
        let mut from = Some(i64::MIN);
        for _ in 0..MAX_PAGES {
            let Some(start) = from else { break };
            let ledger = self.check.store.ledger(
                Principal::system(),
                &self.camera,
                start..i64::MAX,
                &[],
                None,
                MAX_LIMIT,
            )?;
            for tile in &ledger.tiles {
                if matches!(&tile.what, Stretch::Missing { reason, .. } if reason == "unknown") {
                    stretches += 1;
                    total_us += tile.end_us - tile.start_us;
                }
            }
            from = ledger.next_us.filter(|next| *next > start);
        }
        if stretches > 0 {
            let seconds = total_us as f64 / 1e6;
            let camera = &self.camera;
            let note = format!(
                "R8 {camera}: nobody knows why {seconds:.1} s in {stretches} stretches are missing"
            );
            self.report.notes.push(note);
        }
        Ok(())
    }

    /// R12, the other way round: what the chain says that there is, is there.
    pub(super) fn entries_without_anything(&mut self) -> Result<()> {
        if self.unmatched.is_empty() {
            return Ok(());
        }
        let folder = self.check.chain_folder(&self.camera);
        let seqs: HashSet<u64> = self
            .unmatched
            .iter()
            .filter_map(|key| self.said.live.get(key).map(|content| content.seq))
            .collect();
        let mut left = Vec::new();
        evidence::read_chain(&folder, &mut |entry| {
            if seqs.contains(&entry.seq) {
                left.push(row_of_entry(&entry));
            }
        })?;
        for row in left {
            let present = self.check.storage.volume(&row.storage);
            let present = present.is_some_and(|volume| volume.condition().is_present());
            let discarded = self.check.store.is_garbage(&row.storage, &row.path)?;
            // Of a disk that is not there nothing can be said, and deletions go on by themselves.
            if present && !discarded && self.unmatched.contains(&key_of(&row, &self.first)) {
                let path = row.path.clone();
                let what = "the chain has an entry for it, but there is neither a file nor a row"
                    .to_owned();
                self.found(
                    "R12",
                    &path,
                    what,
                    Some(Remedy::Settle { row: Box::new(row) }),
                );
            }
        }
        Ok(())
    }

    /// R12 at the deepest level: links and signatures.
    pub(super) fn signatures(&mut self) -> Result<()> {
        let folder = self.check.chain_folder(&self.camera);
        let public = self.check.storage.evidence().join("public.pem");
        if !public.exists() {
            return Ok(());
        }
        let key = PublicKey::read(&public)?;
        let mut wrong = Vec::new();
        evidence::walk(
            &folder,
            &self.camera,
            &self.first,
            Some(&key),
            &mut |fault, _, text| {
                wrong.push((fault, text));
            },
        )?;
        let subject = format!("the chain of {}", self.camera);
        let more = wrong.len().saturating_sub(1);
        if let Some((fault, text)) = wrong.into_iter().next() {
            let kind = match fault {
                Fault::Unsigned => String::new(),
                other => format!("{}: ", other.as_str()),
            };
            let more = match more {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            self.found(
                "R12",
                &subject,
                format!("{kind}{text}{more}; `nvrd verify` says more"),
                None,
            );
        }
        Ok(())
    }
}
