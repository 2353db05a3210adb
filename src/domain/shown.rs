//! A trigger's state in a word and its newest values as a line: for the explanation, the report and the terminal.

use super::trigger::State;

/// A trigger's state in a word or two.
pub fn state(state: State) -> &'static str {
    match state {
        State::NoData => "no data",
        State::Ok => "ok",
        State::Pending => "pending",
        State::Firing => "firing",
        State::Recovering => "recovering",
    }
}

/// Values as a line of blocks, from zero to the highest or `limit`; a gap where nothing was known.
pub fn sparkline(values: &[Option<f32>], limit: Option<f64>) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let known = values.iter().flatten().copied().filter(|v| v.is_finite());
    let top = known.fold(limit.unwrap_or(0.0) as f32, f32::max);
    let block = |value: &Option<f32>| match value {
        Some(v) if v.is_finite() && top > 0.0 => {
            let step = (v.max(0.0) / top * 7.0).round() as usize;
            BLOCKS[step.min(7)]
        }
        Some(v) if v.is_finite() => BLOCKS[0],
        Some(_) | None => '·',
    };
    values.iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_starts_at_zero_and_shows_gaps() {
        let values = [Some(0.0), Some(0.05), None, Some(0.1), Some(f32::INFINITY)];
        assert_eq!(sparkline(&values, None), "▁▅·█·");
        assert_eq!(sparkline(&values, Some(0.2)), "▁▃·▅·");
        assert_eq!(sparkline(&[Some(0.0)], None), "▁");
    }

    #[test]
    fn a_state_is_a_word_or_two() {
        let all = [State::NoData, State::Ok, State::Pending, State::Firing, State::Recovering];
        assert_eq!(all.map(state), ["no data", "ok", "pending", "firing", "recovering"]);
    }
}
