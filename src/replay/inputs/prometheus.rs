//! A Prometheus, asked about the past as its daemon would have asked it then: piece by piece, one question at a time.
//!
//! After each answer the server is left alone for as long as it worked, so that at most half of its time is spent here.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    Changes, Recorded,
    heard::Heard,
    kept::{Kept, Piece},
    versions::{self, Labels},
};
use crate::{
    daemon::past::{Polls, Question},
    domain::service::ServiceId,
    sources::{
        http::Failure,
        prometheus::{History, Prometheus, QueryError, history, merge},
    },
    units::{Span, UnixMs},
};

/// Times that one piece is of, at most. Prometheus refuses more than 11,000, and a smaller answer costs it less at once.
const POINTS_MAX: i64 = 1_000;
/// A piece that is too much for the server is halved down to this.
const POINTS_MIN: i64 = 20;
/// One that has no answer in time is halved down to this: it may be that the server hangs.
const POINTS_SLOW: i64 = POINTS_MAX / 4;
/// How precisely a deployment is found where nobody said.
const VERSIONS_STEP: Span = Span::seconds(15);
/// Values of one answer, about, where one serves many.
const VALUES_AT_ONCE: i64 = 1_000_000;
/// When the newest sample of any target was taken: after its last one, a server goes on saying it for five minutes.
const PULSE: &str = "max(timestamp(up))";
/// A server whose newest sample is older than this was not scraping.
const PULSE_MAX: Span = Span::minutes(2);

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Answers that are there.
    pub done: usize,
    /// Those that were kept from before.
    pub kept: usize,
    /// All.
    pub total: usize,
    /// How long the server was asked and left alone.
    pub took: Duration,
}

impl Progress {
    /// How long the rest will take, as far as can be said.
    pub fn remaining(&self) -> Option<Duration> {
        let asked = u32::try_from(self.done.checked_sub(self.kept)?).ok().filter(|n| *n > 0)?;
        let rest = u32::try_from(self.total.checked_sub(self.done)?).ok()?;
        Some(self.took / asked * rest)
    }
}

/// Why not everything was asked. What was answered is kept.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The server does not answer any more.
    #[error("prometheus {server} stopped answering: {why}")]
    Server {
        /// Its name.
        server: String,
        /// What was seen.
        why: String,
    },
    /// An answer cannot be kept.
    #[error("an answer cannot be kept: {0}")]
    Keeping(#[from] std::io::Error),
}

/// What is asked.
#[derive(Debug)]
pub struct Asking<'a> {
    /// The servers by their names.
    pub servers: &'a BTreeMap<String, Arc<Prometheus>>,
    /// From when.
    pub from: UnixMs,
    /// Until when.
    pub until: UnixMs,
    /// How often, where not as often as the signal is polled.
    pub step: Option<Span>,
    /// Where answers are kept.
    pub kept: &'a Kept,
}

/// Why one question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// It is wrong, or too much: the others may have one.
    #[error("{0}")]
    Refused(String),
    /// There are no more answers.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// One text, asked of one server.
struct Line<'a> {
    name: &'a str,
    server: &'a Prometheus,
    query: &'a str,
    step: Span,
    /// Times that were not too much.
    points_max: i64,
}

impl Asking<'_> {
    /// Asks everything; `progress` is told after each answer.
    pub(crate) async fn ask(
        &self,
        questions: &[Question],
        progress: impl Fn(Progress),
    ) -> Result<Recorded, Broken> {
        let mut run = Run { asking: self, so_far: Progress::default(), progress };
        let mut pulses: BTreeMap<(&str, Span), Option<Pulse>> = BTreeMap::new();
        for question in questions {
            let step = self.step_of(question);
            pulses.insert((question.server.as_str(), step), None);
            run.so_far.total += question.texts().len() * self.pieces(step, question).len();
        }
        for (_, step) in pulses.keys() {
            run.so_far.total += self.spans(*step, POINTS_MAX).len();
        }
        let mut recorded = Recorded::default();
        for question in questions {
            let step = self.step_of(question);
            let Some(server) = self.servers.get(&question.server) else { continue };
            let key = (question.server.as_str(), step);
            if !matches!(pulses.get(&key), Some(Some(_))) {
                pulses.insert(key, Some(run.pulse(&question.server, server, step).await?));
            }
            let pulse = pulses.get(&key).and_then(Option::as_ref);
            let answer = run.question(question, server, step, pulse).await;
            let (why, polls) = match answer {
                Ok(polls) => (None, polls),
                Err(Unanswered::Refused(why)) => (Some(why), vec![vec![]; question.wants.len()]),
                Err(Unanswered::Broken(broken)) => return Err(broken),
            };
            for (wanted, polls) in question.wants.iter().zip(polls) {
                let mut heard = Heard::nothing(wanted.service.clone(), wanted.signal.clone());
                let track = heard.polls(polls);
                heard.why.clone_from(&why);
                recorded.take(heard, track, step);
            }
        }
        Ok(recorded)
    }

    /// The deployments that a query's series tell of, at a step of their own where none was asked for.
    pub(crate) async fn versions(
        &self,
        (name, query): (&str, &str),
        labels: &Labels,
        known: &[ServiceId],
        progress: impl Fn(Progress),
    ) -> Result<Changes, Unanswered> {
        let Some(server) = self.servers.get(name) else { return Ok(Changes::default()) };
        let step = self.step.unwrap_or(VERSIONS_STEP);
        let mut run = Run { asking: self, so_far: Progress::default(), progress };
        let spans = self.spans(step, POINTS_MAX);
        run.so_far.total = spans.len();
        let mut line = Line { name, server, query, step, points_max: i64::MAX };
        let mut whole = History::default();
        for (from, to) in spans {
            let answer = run.answer(&mut line, from, to).await?;
            merge(&mut whole.tracks, answer.tracks);
            whole.warnings.extend(answer.warnings);
        }
        let mut changes = versions::deployments(&whole.tracks, labels, known);
        if let Some(warning) = whole.warnings.first() {
            changes.unknown.push(format!("--versions: partial answers: {warning}"));
        }
        Ok(changes)
    }

    fn step_of(&self, question: &Question) -> Span {
        self.step.unwrap_or(question.every)
    }

    fn pieces(&self, step: Span, question: &Question) -> Vec<(UnixMs, UnixMs)> {
        let each = VALUES_AT_ONCE / i64::try_from(question.wants.len().max(1)).unwrap_or(i64::MAX);
        self.spans(step, each.clamp(POINTS_MIN, POINTS_MAX))
    }

    /// Pieces whose edges do not depend on when they are asked for, so that the next run finds them; the last one ends with the time
    /// asked for.
    fn spans(&self, step: Span, points: i64) -> Vec<(UnixMs, UnixMs)> {
        let (step, width) = (step.ms().max(1), step.ms().max(1) * points);
        let last = self.until.0.div_euclid(step) * step;
        let first = self.from.0.div_euclid(width) * width;
        let mut spans = vec![];
        let mut start = first;
        while start <= last {
            spans.push((UnixMs(start), UnixMs((start + width - step).min(last))));
            start += width;
        }
        spans
    }
}

/// When a server's newest sample was taken, as seen at each time.
struct Pulse(BTreeMap<UnixMs, f64>);

impl Pulse {
    fn beats(&self, at: UnixMs) -> bool {
        let newest = |seconds: &f64| UnixMs::from_seconds(*seconds);
        // A server that never told of a target is fed by somebody else.
        self.0.is_empty()
            || self.0.get(&at).and_then(newest).is_some_and(|newest| at.since(newest) <= PULSE_MAX)
    }
}

struct Run<'a, P> {
    asking: &'a Asking<'a>,
    so_far: Progress,
    progress: P,
}

impl<P: Fn(Progress)> Run<'_, P> {
    async fn pulse(
        &mut self,
        name: &str,
        server: &Prometheus,
        step: Span,
    ) -> Result<Pulse, Broken> {
        let mut line = Line { name, server, query: PULSE, step, points_max: POINTS_MAX };
        let mut beats = BTreeMap::new();
        let spans = self.asking.spans(step, POINTS_MAX);
        for (done, (from, to)) in spans.iter().enumerate() {
            match self.answer(&mut line, *from, *to).await {
                Ok(answer) => {
                    beats.extend(answer.tracks.into_iter().flat_map(|track| track.points));
                }
                Err(Unanswered::Refused(_)) => {
                    self.passed(spans.len() - done);
                    return Ok(Pulse(BTreeMap::new()));
                }
                Err(Unanswered::Broken(broken)) => return Err(broken),
            }
        }
        Ok(Pulse(beats))
    }

    async fn question(
        &mut self,
        question: &Question,
        server: &Prometheus,
        step: Span,
        pulse: Option<&Pulse>,
    ) -> Result<Vec<Polls>, Unanswered> {
        let pieces = self.asking.pieces(step, question);
        let line =
            |query| Line { name: &question.server, server, query, step, points_max: i64::MAX };
        let mut lines: Vec<Line<'_>> = question.texts().into_iter().map(line).collect();
        let mut all: Vec<Polls> = vec![vec![]; question.wants.len()];
        let mut left = pieces.len() * lines.len();
        for (from, to) in pieces {
            let mut answers = vec![];
            for line in &mut lines {
                match self.answer(line, from, to).await {
                    Ok(answer) => answers.push(answer),
                    Err(Unanswered::Refused(why)) => {
                        self.passed(left);
                        return Err(Unanswered::Refused(why));
                    }
                    Err(broken) => return Err(broken),
                }
                left -= 1;
            }
            let count = to.since(from).ms() / step.ms().max(1);
            let times = (0..=count).map(|index| from + step * index);
            let times: Vec<UnixMs> = times.filter(|at| *at >= self.asking.from).collect();
            let beats = |at| pulse.is_none_or(|pulse| pulse.beats(at));
            for (all, more) in all.iter_mut().zip(question.read(answers, &times, beats)) {
                all.extend(more);
            }
        }
        Ok(all)
    }

    /// Nothing is asked of these any more.
    fn passed(&mut self, answers: usize) {
        self.so_far.done += answers;
        self.so_far.kept += answers;
        (self.progress)(self.so_far);
    }

    /// The answer to one text about one piece: from what was kept, or of the server, halved where it is too much.
    async fn answer(
        &mut self,
        line: &mut Line<'_>,
        from: UnixMs,
        to: UnixMs,
    ) -> Result<History, Unanswered> {
        let (query, step) = (line.query, line.step);
        let address = line.server.options().url.to_string();
        let mut open = vec![Piece { server: &address, query, from, to, step }];
        let (mut whole, mut asked) = (History::default(), false);
        while let Some(piece) = open.pop() {
            let known = self.asking.kept.get(&piece).and_then(|body| history(200, &body).ok());
            let answer = match known {
                Some(answer) => Some(answer),
                None if piece.points() > line.points_max => None,
                None => {
                    asked = true;
                    self.asked(line, &piece).await?
                }
            };
            match answer {
                Some(answer) => {
                    merge(&mut whole.tracks, answer.tracks);
                    whole.warnings.extend(answer.warnings);
                }
                None => {
                    let [first, second] = piece.halves();
                    line.points_max = line.points_max.min(first.points().max(second.points()));
                    open.extend([second, first]);
                }
            }
        }
        self.so_far.done += 1;
        self.so_far.kept += usize::from(!asked);
        (self.progress)(self.so_far);
        Ok(whole)
    }

    /// Asks the server, and leaves it alone for a while. Nothing where it is too much at once.
    async fn asked(
        &mut self,
        line: &Line<'_>,
        piece: &Piece<'_>,
    ) -> Result<Option<History>, Unanswered> {
        let begun = std::time::Instant::now();
        let answer = line.server.piece(piece.query, piece.from, piece.to, piece.step).await;
        tokio::time::sleep(begun.elapsed()).await;
        self.so_far.took += begun.elapsed();
        let read = answer.and_then(|answer| {
            let read = history(answer.status, &answer.body)?;
            Ok((read, answer.body))
        });
        match read {
            Ok((read, body)) => {
                // What is partial may be whole the next time.
                if read.warnings.is_empty() {
                    self.asking.kept.put(piece, &body).map_err(Broken::Keeping)?;
                }
                Ok(Some(read))
            }
            Err(error) if is_too_much(&error, piece.points()) => Ok(None),
            Err(error) => {
                let why = error.fault().to_string();
                let refused = matches!(
                    error,
                    QueryError::Refused { .. }
                        | QueryError::Shape { .. }
                        | QueryError::Transport(Failure::TooLarge { .. })
                );
                if refused {
                    return Err(Unanswered::Refused(why));
                }
                let server = line.name.to_owned();
                Err(Unanswered::Broken(Broken::Server { server, why }))
            }
        }
    }
}

/// Whether a shorter piece might have an answer.
fn is_too_much(error: &QueryError, points: i64) -> bool {
    match error {
        QueryError::Transport(Failure::TooLarge { .. }) => points > POINTS_MIN,
        // A server that hangs is not tried for long.
        QueryError::Transport(failure) => {
            let slow = matches!(failure, Failure::SlowHead { .. } | Failure::SlowBody { .. });
            slow && points > POINTS_SLOW
        }
        QueryError::Refused { kind, message, .. } => {
            points > POINTS_MIN && (kind == "timeout" || message.contains("too many"))
        }
        QueryError::Address(_)
        | QueryError::NotPrometheus { .. }
        | QueryError::Cut
        | QueryError::Shape { .. }
        | QueryError::TooMany { .. } => false,
    }
}

#[cfg(test)]
mod tests;
