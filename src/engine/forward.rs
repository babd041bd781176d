//! The forward pass: tokens in, keys and values into the cache, logits out.
//!
//! A prompt is worked on in groups of tokens that run side by side; a single token is worked on by rows. Both call the
//! same kernels on the same numbers, so neither the grouping nor the number of threads reaches a bit.

use std::sync::{Mutex, PoisonError};

use super::cache::{Cache, HeadCache, LayerCache};
use super::kernels::{Input, Kernels, LANES, Quants, SEGMENT};
use super::matrix::Matrix;
use super::rope::Rope;
use super::shape::Shape;
use super::team::Team;
use super::weights::{Layer, Weights};

/// Tokens that one task works on: few enough that its activations stay in a core's cache.
const GROUP: usize = 16;

/// Everything that a pass reads.
pub(crate) struct Model {
    pub(crate) shape: Shape,
    pub(crate) weights: Weights,
    pub(crate) rope: Rope,
    pub(crate) kernels: Kernels,
}

/// Memory that passes use again.
#[derive(Default)]
pub(crate) struct Scratch {
    stream: Vec<f32>,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    angles: Vec<(f32, f32)>,
    logits: Vec<f32>,
    tasks: Mutex<Vec<TaskScratch>>,
}

/// Memory of one task.
#[derive(Default)]
struct TaskScratch {
    normed: Vec<f32>,
    quants: Quants,
    gate: Vec<f32>,
    up: Vec<f32>,
    attended: Vec<f32>,
    attention: AttentionScratch,
}

#[derive(Default)]
struct AttentionScratch {
    queries: Vec<f32>,
    visible: Vec<usize>,
    scores: Vec<f32>,
    peaks: Vec<(f32, f32)>,
    sums: Vec<f32>,
    next_peaks: Vec<(f32, f32)>,
    next_sums: Vec<f32>,
}

impl Model {
    /// Evaluates `tokens` behind those in the cache and commits them; returns the logits of the last one if wanted.
    ///
    /// Every token must be within the vocabulary, and `tokens` not empty.
    pub(crate) fn forward<'s>(
        &self,
        tokens: &[u32],
        cache: &mut Cache,
        team: &Team,
        scratch: &'s mut Scratch,
        wants_logits: bool,
    ) -> Option<&'s [f32]> {
        let position = cache.len();
        let width = self.shape.width;
        scratch.stream.resize(tokens.len() * width, 0.0);
        for (token, out) in tokens.iter().zip(scratch.stream.chunks_exact_mut(width)) {
            self.weights.embedding.row(*token as usize, out);
        }
        scratch.angles.clear();
        for i in 0..tokens.len() {
            self.rope.angles(position + i, &mut scratch.angles);
        }
        for (i, layer) in self.weights.layers.iter().enumerate() {
            let last = i + 1 == self.weights.layers.len();
            self.project(layer, team, scratch);
            let cache = cache.layer(i);
            self.store(cache, position, team, scratch);
            // Behind the last layer's keys and values only the last token's stream is read, and only for logits.
            let first = match (last, wants_logits) {
                (false, _) => 0,
                (true, true) => tokens.len() - 1,
                (true, false) => tokens.len(),
            };
            self.finish_layer(layer, cache, position, first..tokens.len(), team, scratch);
        }
        cache.commit(tokens);
        if !wants_logits {
            return None;
        }
        let mut task = scratch.borrow_task();
        let stream = &scratch.stream[(tokens.len() - 1) * width..];
        let output = self.weights.output.as_ref().unwrap_or(&self.weights.embedding);
        task.normed.resize(width, 0.0);
        self.kernels.rms_norm(stream, &self.weights.output_norm, self.shape.epsilon, &mut task.normed);
        self.quantise(&task.normed, width, &[output], &mut task.quants);
        scratch.logits.resize(output.panel_count() * LANES, 0.0);
        let input = Input { floats: &task.normed, quants: &task.quants };
        self.by_rows(&[output], input, [&mut scratch.logits[..]].into(), team);
        scratch.return_task(task);
        Some(&scratch.logits[..output.rows])
    }

    /// Norm, queries, keys and values of every token, rotated.
    fn project(&self, layer: &Layer, team: &Team, scratch: &mut Scratch) {
        let (width, head) = (self.shape.width, self.shape.head_width);
        let (query_width, key_width) = (self.shape.heads * head, self.shape.kv_heads * head);
        let tokens = scratch.stream.len() / width;
        scratch.queries.resize(tokens * query_width, 0.0);
        scratch.keys.resize(tokens * key_width, 0.0);
        scratch.values.resize(tokens * key_width, 0.0);
        let group = group_size(tokens, team);
        let pairs = self.rope.pairs();
        let tasks: Vec<_> = scratch
            .stream
            .chunks(group * width)
            .zip(scratch.queries.chunks_mut(group * query_width))
            .zip(scratch.keys.chunks_mut(group * key_width))
            .zip(scratch.values.chunks_mut(group * key_width))
            .zip(scratch.angles.chunks(group * pairs))
            .collect();
        let pool = &scratch.tasks;
        team.each(tasks, |((((stream, queries), keys), values), angles)| {
            let mut task = take(pool);
            let matrices = [&layer.query, &layer.key, &layer.value];
            self.norm(stream, &layer.attention_norm, &mut task.normed);
            self.quantise(&task.normed, width, &matrices, &mut task.quants);
            let input = Input { floats: &task.normed, quants: &task.quants };
            let tokens = stream.len() / width;
            if tokens == 1 {
                self.by_rows(&matrices, input, vec![queries, keys, values], team);
            } else {
                for (matrix, out) in matrices.into_iter().zip([&mut *queries, keys, values]) {
                    self.kernels.multiply(matrix, 0..matrix.panel_count(), input, out, matrix.rows);
                }
            }
            give(pool, task);
            let scale = 1.0 / (head as f32).sqrt();
            for (queries, angles) in queries.chunks_exact_mut(query_width).zip(angles.chunks_exact(pairs)) {
                self.rope.turn(queries, angles);
                queries.iter_mut().for_each(|x| *x *= scale);
            }
            for (keys, angles) in keys.chunks_exact_mut(key_width).zip(angles.chunks_exact(pairs)) {
                self.rope.turn(keys, angles);
            }
        });
    }

    fn store(&self, cache: &mut LayerCache, position: usize, team: &Team, scratch: &Scratch) {
        let head = self.shape.head_width;
        let key_width = self.shape.kv_heads * head;
        let tasks: Vec<_> = cache.heads_mut().iter_mut().enumerate().collect();
        let work = |(i, cache): (usize, &mut HeadCache)| {
            let part = |row: &'_ [f32]| -> std::ops::Range<usize> {
                debug_assert_eq!(row.len(), key_width);
                i * head..(i + 1) * head
            };
            let keys = scratch.keys.chunks_exact(key_width).map(|row| &row[part(row)]);
            let values = scratch.values.chunks_exact(key_width).map(|row| &row[part(row)]);
            cache.store(position, keys, values);
        };
        match scratch.keys.len() / key_width {
            1 => tasks.into_iter().for_each(work),
            _ => team.each(tasks, work),
        }
    }

    /// Attention, its output projection and the feed-forward part, added to the stream of the tokens in `range`.
    fn finish_layer(
        &self,
        layer: &Layer,
        cache: &LayerCache,
        position: usize,
        range: std::ops::Range<usize>,
        team: &Team,
        scratch: &mut Scratch,
    ) {
        let width = self.shape.width;
        let query_width = self.shape.heads * self.shape.head_width;
        let position = position + range.start;
        let group = group_size(range.len(), team);
        let tasks: Vec<_> = scratch.stream[range.start * width..range.end * width]
            .chunks_mut(group * width)
            .zip(scratch.queries[range.start * query_width..range.end * query_width].chunks(group * query_width))
            .enumerate()
            .collect();
        let pool = &scratch.tasks;
        team.each(tasks, |(i, (stream, queries))| {
            let mut task = take(pool);
            let tokens = stream.len() / width;
            task.attended.resize(tokens * query_width, 0.0);
            if tokens == 1 {
                self.attend_one(queries, cache, position + i * group, team, &mut task.attended);
            } else {
                self.attend(queries, cache, position + i * group, &mut task.attention, &mut task.attended);
            }
            let output = &layer.attention_output;
            self.quantise(&task.attended, query_width, &[output], &mut task.quants);
            task.normed.resize(tokens * width, 0.0);
            let input = Input { floats: &task.attended, quants: &task.quants };
            self.product(&[output], input, vec![&mut task.normed], tokens, team);
            self.kernels.add(stream, &task.normed);

            self.norm(stream, &layer.feed_norm, &mut task.normed);
            self.quantise(&task.normed, width, &[&layer.gate, &layer.up], &mut task.quants);
            task.gate.resize(tokens * self.shape.inner, 0.0);
            task.up.resize(tokens * self.shape.inner, 0.0);
            let input = Input { floats: &task.normed, quants: &task.quants };
            self.product(&[&layer.gate, &layer.up], input, vec![&mut task.gate, &mut task.up], tokens, team);
            self.kernels.silu_times(&mut task.gate, &task.up);
            self.quantise(&task.gate, self.shape.inner, &[&layer.down], &mut task.quants);
            let input = Input { floats: &task.gate, quants: &task.quants };
            self.product(&[&layer.down], input, vec![&mut task.normed], tokens, team);
            self.kernels.add(stream, &task.normed);
            give(pool, task);
        });
    }

    /// Attention of a group of adjacent tokens, the first at `position`: segment after segment.
    fn attend(
        &self,
        queries: &[f32],
        cache: &LayerCache,
        position: usize,
        scratch: &mut AttentionScratch,
        out: &mut [f32],
    ) {
        let (head, heads) = (self.shape.head_width, self.shape.heads / self.shape.kv_heads);
        let query_width = self.shape.heads * head;
        let tokens = queries.len() / query_width;
        let end = position + tokens;
        let rows = tokens * heads;
        scratch.scores.resize(rows * SEGMENT, 0.0);
        scratch.peaks.resize(rows, (0.0, 0.0));
        scratch.sums.resize(rows * head, 0.0);
        scratch.next_peaks.resize(rows, (0.0, 0.0));
        scratch.next_sums.resize(rows * head, 0.0);
        for (i, cache) in cache.heads().iter().enumerate() {
            let part = i * heads * head..(i + 1) * heads * head;
            scratch.queries.clear();
            for queries in queries.chunks_exact(query_width) {
                scratch.queries.extend_from_slice(&queries[part.clone()]);
            }
            for start in (0..end).step_by(SEGMENT) {
                // Tokens before the segment do not see it; the first segment is seen by all.
                let first = start.saturating_sub(position);
                scratch.visible.clear();
                for token in first..tokens {
                    let visible = SEGMENT.min(position + token + 1 - start);
                    scratch.visible.extend(std::iter::repeat_n(visible, heads));
                }
                let rows = first * heads;
                let stop = end.min(start + SEGMENT);
                let (peaks, sums) = match start {
                    0 => (&mut scratch.peaks, &mut scratch.sums),
                    _ => (&mut scratch.next_peaks, &mut scratch.next_sums),
                };
                self.kernels.attend(
                    &scratch.queries[rows * head..],
                    head,
                    cache.keys(start, stop, head),
                    cache.values(start, stop, head),
                    &scratch.visible,
                    &mut scratch.scores[rows * SEGMENT..],
                    &mut peaks[rows..],
                    &mut sums[rows * head..],
                );
                if start > 0 {
                    let next = scratch.next_peaks.iter().zip(scratch.next_sums.chunks_exact(head));
                    let sums = scratch.peaks.iter_mut().zip(scratch.sums.chunks_exact_mut(head));
                    for ((peak, sum), (next_peak, next_sum)) in sums.zip(next).skip(rows) {
                        self.kernels.join(peak, sum, *next_peak, next_sum);
                    }
                }
            }
            let results = scratch.peaks.iter().zip(scratch.sums.chunks_exact(head));
            let out = out.chunks_exact_mut(query_width).flat_map(|out| out[part.clone()].chunks_exact_mut(head));
            for (out, (peak, sum)) in out.zip(results) {
                normalise(out, *peak, sum);
            }
        }
    }

    /// Attention of a single token: all segments of all heads side by side, then joined in order.
    fn attend_one(&self, queries: &[f32], cache: &LayerCache, position: usize, team: &Team, out: &mut [f32]) {
        let (head, heads) = (self.shape.head_width, self.shape.heads / self.shape.kv_heads);
        let segments = position / SEGMENT + 1;
        let mut peaks = vec![(0.0, 0.0); segments * self.shape.heads];
        let mut sums = vec![0.0; segments * self.shape.heads * head];
        let tasks: Vec<_> =
            peaks.chunks_exact_mut(heads).zip(sums.chunks_exact_mut(heads * head)).enumerate().collect();
        team.each(tasks, |(i, (peaks, sums))| {
            let (kv, start) = (i / segments, i % segments * SEGMENT);
            let stop = (position + 1).min(start + SEGMENT);
            let mut scores = vec![0.0; heads * SEGMENT];
            self.kernels.attend(
                &queries[kv * heads * head..(kv + 1) * heads * head],
                head,
                cache.heads()[kv].keys(start, stop, head),
                cache.heads()[kv].values(start, stop, head),
                &vec![stop - start; heads],
                &mut scores,
                peaks,
                sums,
            );
        });
        for (i, out) in out.chunks_exact_mut(head).enumerate() {
            let at = |segment: usize| (i / heads * segments + segment) * heads + i % heads;
            let sum = |segment: usize| at(segment) * head..(at(segment) + 1) * head;
            let mut peak = peaks[at(0)];
            let mut joined = sums[sum(0)].to_vec();
            for segment in 1..segments {
                self.kernels.join(&mut peak, &mut joined, peaks[at(segment)], &sums[sum(segment)]);
            }
            normalise(out, peak, &joined);
        }
    }

    fn norm(&self, stream: &[f32], weight: &[f32], out: &mut Vec<f32>) {
        out.resize(stream.len(), 0.0);
        for (x, out) in stream.chunks_exact(weight.len()).zip(out.chunks_exact_mut(weight.len())) {
            self.kernels.rms_norm(x, weight, self.shape.epsilon, out);
        }
    }

    /// Quantises all tokens if one of the matrices wants it.
    fn quantise(&self, x: &[f32], width: usize, matrices: &[&Matrix], out: &mut Quants) {
        out.clear(width);
        if matrices.iter().any(|matrix| matrix.wants_quants()) {
            x.chunks_exact(width).for_each(|x| self.kernels.quantise(x, out));
        }
    }

    fn product(&self, matrices: &[&Matrix], input: Input<'_>, outs: Vec<&mut [f32]>, tokens: usize, team: &Team) {
        if tokens == 1 {
            return self.by_rows(matrices, input, outs, team);
        }
        for (matrix, out) in matrices.iter().zip(outs) {
            self.kernels.multiply(matrix, 0..matrix.panel_count(), input, out, matrix.rows);
        }
    }

    /// Multiplies one token with several matrices, their rows shared out among the threads.
    fn by_rows(&self, matrices: &[&Matrix], input: Input<'_>, outs: Vec<&mut [f32]>, team: &Team) {
        let total: usize = matrices.iter().map(|matrix| matrix.panel_count()).sum();
        let share = total.div_ceil(team.threads());
        let mut tasks = Vec::new();
        for (matrix, out) in matrices.iter().zip(outs) {
            for (i, out) in out.chunks_mut(share * LANES).enumerate() {
                tasks.push((*matrix, i * share, out));
            }
        }
        team.each(tasks, |(matrix, first, out)| {
            let width = out.len();
            let panels = first..first + width / LANES;
            self.kernels.multiply(matrix, panels, input, out, width);
        });
    }
}

impl Scratch {
    fn borrow_task(&self) -> TaskScratch {
        take(&self.tasks)
    }

    fn return_task(&self, task: TaskScratch) {
        give(&self.tasks, task);
    }
}

fn take(pool: &Mutex<Vec<TaskScratch>>) -> TaskScratch {
    pool.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
}

fn give(pool: &Mutex<Vec<TaskScratch>>, task: TaskScratch) {
    pool.lock().unwrap_or_else(PoisonError::into_inner).push(task);
}

fn group_size(tokens: usize, team: &Team) -> usize {
    tokens.div_ceil(team.threads() * 2).next_multiple_of(4).clamp(1, GROUP)
}

fn normalise(out: &mut [f32], peak: (f32, f32), sum: &[f32]) {
    let factor = 1.0 / peak.1;
    for (out, x) in out.iter_mut().zip(sum) {
        *out = x * factor;
    }
}
