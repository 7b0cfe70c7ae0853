//! The body of an export file: read from the data set, filtered and compressed while it is sent, a few 64 KiB in memory.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::{mpsc, watch};

use super::super::world::Place;
use super::index::Snapshot;
use super::plan::{Piece, Plan, outcome};
use crate::platform::clock::Clock;

const CHUNK_BYTES: usize = 64 * 1024;

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Whole,
    /// Half of the resources and half a line more, then the end.
    Truncated,
    /// The same, then nothing for ever.
    Stalled,
}

enum Part {
    Bytes(Bytes),
    Stall,
    Failed,
}

/// What a file holds.
#[derive(Clone)]
pub(super) enum Content {
    /// A piece of a plan.
    Piece(Arc<Snapshot>, Arc<Plan>, usize),
    /// The deletions as transaction Bundles, one a line.
    Deletions(Arc<Plan>),
    /// What the client shall know; and whether resources are missing.
    Outcomes(Arc<Plan>, bool),
}

impl Content {
    /// Writes all lines, or so much of them as a cut after half of them leaves.
    fn write(&self, cut: bool, sink: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Piece(snapshot, plan, piece) => match &plan.pieces[*piece] {
                Piece::Run { kind, start, count } => write_run(snapshot, plan, (kind, *start, *count), cut, sink),
                Piece::Blocks(patients) => {
                    let patients = if cut { &patients[..patients.len().div_ceil(2)] } else { patients };
                    patients
                        .iter()
                        .try_for_each(|patient| write_block(snapshot, plan, patient, cut, sink))
                }
            },
            Self::Deletions(plan) => {
                for keys in &plan.deleted {
                    let entries: Vec<_> = keys
                        .iter()
                        .map(|key| serde_json::json!({ "request": { "method": "DELETE", "url": key } }))
                        .collect();
                    let bundle = serde_json::json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries });
                    writeln!(sink, "{bundle}")?;
                }
                Ok(())
            }
            Self::Outcomes(plan, has_errors) => {
                let error = has_errors.then(|| outcome("error", "exception", "some resources could not be exported"));
                plan.notes.iter().chain(&error).try_for_each(|note| writeln!(sink, "{note}"))
            }
        }
    }
}

/// So many resources of a type, from a place on.
fn write_run(
    snapshot: &Snapshot,
    plan: &Plan,
    (kind, start, count): (&str, Place, u64),
    cut: bool,
    sink: &mut dyn Write,
) -> io::Result<()> {
    let cut = cut.then_some(count / 2);
    let mut sent = 0;
    let mut result = Ok(());
    let scanned = snapshot.world.scan(kind, start, &mut |entry| {
        if !plan.filter.lets_through(kind, &entry) {
            return ControlFlow::Continue(());
        }
        // What is no text leaves as it is.
        let shaped = entry.text().map(|line| plan.shape.of(kind, line));
        let line = shaped.as_deref().map_or(entry.line, str::as_bytes);
        if cut == Some(sent) {
            result = sink.write_all(&line[..line.len() / 2]);
            return ControlFlow::Break(());
        }
        result = sink.write_all(line).and_then(|()| sink.write_all(b"\n"));
        sent += 1;
        if result.is_err() || sent == count {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    scanned.map_err(io::Error::other).and(result)
}

/// One patient's block: a header, then the resources. Bulk Data 3.0.0, `organizeOutputBy`.
fn write_block(snapshot: &Snapshot, plan: &Plan, patient: &str, cut: bool, sink: &mut dyn Write) -> io::Result<()> {
    let block = plan.filter.block(snapshot, patient).map_err(io::Error::other)?;
    if block.is_empty() {
        return Ok(());
    }
    let header = serde_json::json!({
        "resourceType": "Parameters",
        "parameter": [{ "name": "header", "valueReference": { "reference": format!("Patient/{patient}") } }],
    });
    writeln!(sink, "{header}")?;
    let kept = if cut { block.len() / 2 } else { block.len() };
    for (kind, line) in &block[..kept] {
        writeln!(sink, "{}", plan.shape.of(kind, line))?;
    }
    if cut && let Some((_, line)) = block.get(kept) {
        sink.write_all(&line.as_bytes()[..line.len() / 2])?;
    }
    Ok(())
}

/// All bytes of a file at once: what faults are made of.
pub(super) fn whole(content: &Content, gzip: bool) -> io::Result<Vec<u8>> {
    packed(&text(content)?, gzip)
}

/// The same without the second half of its last line.
pub(super) fn without_last_half_line(content: &Content, gzip: bool) -> io::Result<Vec<u8>> {
    let text = text(content)?;
    let last = text[..text.len().saturating_sub(1)]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    packed(&text[..last + (text.len() - last) / 2], gzip)
}

/// The same as it was before somebody changed the first resource.
pub(super) fn changed(content: &Content, gzip: bool) -> io::Result<Vec<u8>> {
    let mut text = text(content)?;
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    if let Some(brace) = text[..end].iter().rposition(|byte| *byte == b'}') {
        text.splice(brace..brace, br#","language":"en-US""#.iter().copied());
    }
    packed(&text, gzip)
}

fn text(content: &Content) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    content.write(false, &mut text)?;
    Ok(text)
}

fn packed(text: &[u8], gzip: bool) -> io::Result<Vec<u8>> {
    if !gzip {
        return Ok(text.to_vec());
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text)?;
    encoder.finish()
}

/// These bytes; then the end, or a connection that breaks.
pub(super) fn bytes(bytes: Vec<u8>, breaks: bool) -> Body {
    let broken = breaks.then(|| Err(io::Error::other("broken off on order")));
    let parts = std::iter::once(Ok(Bytes::from(bytes))).chain(broken);
    // A pause before the break, so that what comes before it is on its way.
    let parts = futures_util::StreamExt::then(futures_util::stream::iter(parts), |part| async {
        tokio::task::yield_now().await;
        part
    });
    Body::from_stream(parts)
}

/// These bytes, 1 KiB a second.
pub(super) fn dripping(bytes: Vec<u8>, clock: Clock) -> Body {
    let parts: Vec<Bytes> = bytes.chunks(1024).map(Bytes::copy_from_slice).collect();
    let parts = futures_util::StreamExt::then(futures_util::stream::iter(parts), move |part| {
        let clock = clock.clone();
        async move {
            clock.sleep(Duration::from_secs(1)).await;
            Ok::<_, io::Error>(part)
        }
    });
    Body::from_stream(parts)
}

/// A file's content as a body, written while it is sent.
pub(super) fn streamed(content: Content, gzip: bool, ending: Ending, stopped: watch::Receiver<bool>) -> Body {
    written(gzip, ending, stopped, move |sink| content.write(ending != Ending::Whole, sink))
}

/// Runs `write` on a thread of its own; what it writes is the body.
fn written(
    gzip: bool,
    ending: Ending,
    stopped: watch::Receiver<bool>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> Body {
    let (sender, receiver) = mpsc::channel(2);
    tokio::task::spawn_blocking(move || {
        let failed = sender.clone();
        let outcome = if gzip {
            let mut encoder = GzEncoder::new(Chunks::new(sender), Compression::fast());
            write(&mut encoder).and_then(|()| match ending {
                Ending::Whole => encoder.finish()?.end(None),
                Ending::Truncated | Ending::Stalled => {
                    encoder.flush()?;
                    let outcome = encoder.get_mut().end(Some(ending));
                    // The encoder writes its trailer when it is dropped; nobody listens any more.
                    encoder.get_mut().closed = true;
                    outcome
                }
            })
        } else {
            let mut chunks = Chunks::new(sender);
            write(&mut chunks).and_then(|()| chunks.end(Some(ending)))
        };
        if outcome.is_err() {
            // If the reader has gone, nobody needs to know.
            let _ = failed.blocking_send(Part::Failed);
        }
    });
    let parts = futures_util::stream::unfold((receiver, stopped), |(mut receiver, mut stopped)| async move {
        let bytes = match receiver.recv().await? {
            Part::Bytes(bytes) => Ok(bytes),
            Part::Failed => Err(io::Error::other("the file could not be read to its end")),
            Part::Stall => {
                // Ends when the EHR stops or the client goes away, whichever is first.
                let _ = stopped.wait_for(|stop| *stop).await;
                Err(io::Error::other("stalled"))
            }
        };
        Some((bytes, (receiver, stopped)))
    });
    Body::from_stream(parts)
}

/// Gathers what is written into chunks for the reader.
struct Chunks {
    sender: mpsc::Sender<Part>,
    buffer: Vec<u8>,
    closed: bool,
}

impl Chunks {
    fn new(sender: mpsc::Sender<Part>) -> Self {
        Self {
            sender,
            buffer: Vec::with_capacity(CHUNK_BYTES),
            closed: false,
        }
    }

    fn send(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK_BYTES));
        self.sender
            .blocking_send(Part::Bytes(bytes.into()))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn end(&mut self, ending: Option<Ending>) -> io::Result<()> {
        self.send()?;
        match ending {
            Some(Ending::Stalled) => self.sender.blocking_send(Part::Stall).map_err(|_| io::ErrorKind::BrokenPipe.into()),
            _ => Ok(()),
        }
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.closed {
            self.buffer.extend_from_slice(bytes);
            if self.buffer.len() >= CHUNK_BYTES {
                self.send()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
