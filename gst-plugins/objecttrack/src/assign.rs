//! Which track goes with which detection: the pairing with the greatest sum of similarities.
//!
//! Boxes that overlap nothing in common are independent, so each connected group is solved by itself: exactly
//! (Hungarian method) up to [`EXACT_LIMIT`] members on its smaller side, by taking the best pair first above that.

/// The smaller side of the largest group that is solved exactly, and the larger one: 64 times 64 times 1024 steps
/// take some milliseconds.
pub const EXACT_LIMIT: usize = 64;
const EXACT_OTHER: usize = 1024;

/// A pair that may go together.
#[derive(Debug, Clone, Copy)]
struct Edge {
    row: usize,
    column: usize,
    similarity: f64,
}

/// Pairs of (row, column), in order of rows, each row and column at most once; a pair is only made where the
/// similarity is at least `at_least` and above zero.
pub fn assign(
    rows: usize,
    columns: usize,
    at_least: f64,
    similarity: impl Fn(usize, usize) -> f64,
) -> Vec<(usize, usize)> {
    let mut edges = Vec::new();
    for row in 0..rows {
        for column in 0..columns {
            let similarity = similarity(row, column);
            if similarity > 0.0 && similarity >= at_least {
                edges.push(Edge {
                    row,
                    column,
                    similarity,
                });
            }
        }
    }
    let mut pairs: Vec<(usize, usize)> = groups(rows, columns, &edges)
        .into_iter()
        .flat_map(|group| solve(&group))
        .collect();
    pairs.sort_unstable();
    pairs
}

/// The edges by connected group.
fn groups(rows: usize, columns: usize, edges: &[Edge]) -> Vec<Vec<Edge>> {
    let mut parent: Vec<usize> = (0..rows + columns).collect();
    fn root(parent: &mut [usize], mut node: usize) -> usize {
        while parent[node] != node {
            parent[node] = parent[parent[node]];
            node = parent[node];
        }
        node
    }
    for edge in edges {
        let (a, b) = (
            root(&mut parent, edge.row),
            root(&mut parent, rows + edge.column),
        );
        parent[a.max(b)] = a.min(b);
    }
    let mut index = vec![usize::MAX; rows + columns];
    let mut groups: Vec<Vec<Edge>> = Vec::new();
    for &edge in edges {
        let root = root(&mut parent, edge.row);
        if index[root] == usize::MAX {
            index[root] = groups.len();
            groups.push(Vec::new());
        }
        groups[index[root]].push(edge);
    }
    groups
}

fn solve(group: &[Edge]) -> Vec<(usize, usize)> {
    if let [only] = group {
        return vec![(only.row, only.column)];
    }
    let mut rows: Vec<usize> = group.iter().map(|e| e.row).collect();
    let mut columns: Vec<usize> = group.iter().map(|e| e.column).collect();
    for list in [&mut rows, &mut columns] {
        list.sort_unstable();
        list.dedup();
    }
    let (fewer, more) = (rows.len().min(columns.len()), rows.len().max(columns.len()));
    if fewer > EXACT_LIMIT || more > EXACT_OTHER {
        return best_first(group);
    }
    // The method wants at least as many columns as rows.
    let turned = rows.len() > columns.len();
    let (n, m) = (rows.len().min(columns.len()), rows.len().max(columns.len()));
    let place = |edge: &Edge| {
        let r = rows.binary_search(&edge.row).expect("collected above");
        let c = columns
            .binary_search(&edge.column)
            .expect("collected above");
        if turned { (c, r) } else { (r, c) }
    };
    let mut cost = vec![0.0; n * m];
    for edge in group {
        let (r, c) = place(edge);
        cost[r * m + c] = -edge.similarity;
    }
    hungarian(n, m, &cost)
        .into_iter()
        .enumerate()
        .filter(|&(r, c)| cost[r * m + c] < 0.0)
        .map(|(r, c)| {
            if turned {
                (rows[c], columns[r])
            } else {
                (rows[r], columns[c])
            }
        })
        .collect()
}

fn best_first(group: &[Edge]) -> Vec<(usize, usize)> {
    let mut order = group.to_vec();
    order.sort_by(|a, b| {
        b.similarity
            .total_cmp(&a.similarity)
            .then(a.row.cmp(&b.row))
            .then(a.column.cmp(&b.column))
    });
    let (mut rows, mut columns) = (
        std::collections::HashSet::new(),
        std::collections::HashSet::new(),
    );
    order
        .into_iter()
        .filter(|e| !rows.contains(&e.row) && columns.insert(e.column) && rows.insert(e.row))
        .map(|e| (e.row, e.column))
        .collect()
}

/// The column of each of `n` rows (`n` <= `m`) with the least total cost, by shortest augmenting paths.
fn hungarian(n: usize, m: usize, cost: &[f64]) -> Vec<usize> {
    let mut row_price = vec![0.0; n + 1];
    let mut column_price = vec![0.0; m + 1];
    // Row (from 1) that holds a column (from 1); 0 is free, column 0 is where a path starts.
    let mut holder = vec![0usize; m + 1];
    let mut way = vec![0usize; m + 1];
    for row in 1..=n {
        holder[0] = row;
        let mut at = 0;
        let mut least = vec![f64::INFINITY; m + 1];
        let mut done = vec![false; m + 1];
        while holder[at] != 0 {
            done[at] = true;
            let current = holder[at];
            let (mut delta, mut next) = (f64::INFINITY, 0);
            for column in 1..=m {
                if done[column] {
                    continue;
                }
                let reduced = cost[(current - 1) * m + column - 1]
                    - row_price[current]
                    - column_price[column];
                if reduced < least[column] {
                    least[column] = reduced;
                    way[column] = at;
                }
                if least[column] < delta {
                    delta = least[column];
                    next = column;
                }
            }
            for column in 0..=m {
                if done[column] {
                    row_price[holder[column]] += delta;
                    column_price[column] -= delta;
                } else {
                    least[column] -= delta;
                }
            }
            at = next;
        }
        while at != 0 {
            holder[at] = holder[way[at]];
            at = way[at];
        }
    }
    let mut columns = vec![0; n];
    for column in 1..=m {
        if holder[column] != 0 {
            columns[holder[column] - 1] = column - 1;
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(matrix: &[&[f64]], at_least: f64, expected: &[(usize, usize)]) {
        let columns = matrix.first().map_or(0, |row| row.len());
        assert_eq!(
            assign(matrix.len(), columns, at_least, |r, c| matrix[r][c]),
            expected
        );
    }

    #[test]
    fn small_cases() {
        check(&[], 0.1, &[]);
        check(&[&[0.5]], 0.6, &[]);
        check(&[&[0.5]], 0.5, &[(0, 0)]);
        // The best pair first would give 0.9 + 0.1; together the other way is more.
        check(&[&[0.9, 0.8], &[0.8, 0.1]], 0.05, &[(0, 1), (1, 0)]);
        // More rows than columns, and more columns than rows.
        check(&[&[0.3], &[0.6], &[0.2]], 0.1, &[(1, 0)]);
        check(&[&[0.3, 0.6, 0.2]], 0.1, &[(0, 1)]);
        // A pair below the threshold is not made to fill up a row.
        check(&[&[0.9, 0.0], &[0.8, 0.0]], 0.2, &[(0, 0)]);
    }

    /// The best sum over all pairings, by trying them.
    fn brute(matrix: &[Vec<f64>], row: usize, used: u32) -> f64 {
        let Some(line) = matrix.get(row) else {
            return 0.0;
        };
        let mut best = brute(matrix, row + 1, used);
        for (column, &value) in line.iter().enumerate() {
            if value > 0.0 && used & (1 << column) == 0 {
                best = best.max(value + brute(matrix, row + 1, used | (1 << column)));
            }
        }
        best
    }

    proptest! {
        #[test]
        fn is_the_best_pairing(matrix in (1usize..6).prop_flat_map(|columns|
            prop::collection::vec(prop::collection::vec(prop_oneof![Just(0.0), 0.01f64..1.0], columns), 1..6))) {
            let pairs = assign(matrix.len(), matrix[0].len(), 0.0, |r, c| matrix[r][c]);
            let sum: f64 = pairs.iter().map(|&(r, c)| matrix[r][c]).sum();
            prop_assert!((sum - brute(&matrix, 0, 0)).abs() < 1e-9);
            let mut rows: Vec<_> = pairs.iter().map(|p| p.0).collect();
            let mut columns: Vec<_> = pairs.iter().map(|p| p.1).collect();
            rows.dedup();
            columns.sort_unstable();
            columns.dedup();
            prop_assert_eq!((rows.len(), columns.len()), (pairs.len(), pairs.len()));
        }
    }

    #[test]
    fn a_huge_group_is_still_a_pairing() {
        let pairs = assign(300, 280, 0.1, |r, c| {
            1.0 / (1.0 + (r as f64 - c as f64).abs())
        });
        assert_eq!(pairs.len(), 280);
        assert!(pairs.iter().all(|&(r, c)| r == c));
    }
}
