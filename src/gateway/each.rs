//! Every block of a folder's files, one after the other: for who reads a folder and writes no table.

use super::blocks::{Block, Blocks};
use super::folder::{Input, reader};
use super::offline::OfflineError;

/// Calls `take` with every block of every file, in order.
/// # Errors: a file that cannot be read; what `take` says.
pub(super) fn each_block(
    inputs: &[Input],
    line_bytes: usize,
    mut take: impl FnMut(&Input, &Block) -> Result<(), OfflineError>,
) -> Result<(), OfflineError> {
    for input in inputs {
        let mut blocks = Blocks::new(reader(&input.path)?, line_bytes);
        let unreadable = |source| OfflineError::Io {
            path: input.path.clone(),
            what: "cannot be read to its end",
            source,
        };
        while let Some(block) = blocks.next().map_err(unreadable)? {
            take(input, &block)?;
        }
    }
    Ok(())
}
