// Repair of assigned ranks that leave some row without a point, and the kernels of two_level.
//
// It is rarely needed, so one block does all of it for its matrix, in the launch that also sums the
// distances; it leaves at once if no row is stuck.

__device__ void rank_columns_of(const Matrices& m, Entry* tile, Word matrix) {
    auto load = [&](Word column, Word row) {
        return Entry{order_key(m.repair[Index(column) * m.rows + row].clipped), row};
    };
    auto store = [&](Word column, Word place, Entry e) {
        m.rank[Index(column) * m.rows + e.index] = place;
    };
    auto tie = [&](Word column, Word row) { return m.repair[Index(column) * m.rows + row].start; };
    Segments columns(matrix * Word(m.width), Word(m.width), Word(m.rows));
    sort_alone(tile, columns, m.columns, m.other, load, store, tie);
}

// New ranks from the clipped matrix; from the third pass on, rows that are stuck are first pulled
// towards the middle of their intervals. The middles wait in the place of the result.
__device__ void repair_pass(const Matrices& m, Entry* tile, Word matrix, int attempt) {
    Word height = Word(m.rows);
    Real* middles = m.point;
    double turns = attempt * GOLDEN, fraction = turns - floor(turns);
    Real weight = Real(fraction), rest = Real(1 - fraction);
    Segments rows(matrix * height, height, Word(m.width));
    auto sort_rows = [&](auto value, auto keep) {
        auto load = [&](Word row, Word place) {
            Index here = m.at(matrix, place, row % height);
            Index bounds = Index(place) * m.rows + m.rank[here];
            return Entry{order_key(value(here, m.lower[bounds], m.upper[bounds])), place};
        };
        auto store = [&](Word row, Word place, Entry e) {
            keep(row, m.at(matrix, place, row % height), value_of(e.key));
        };
        auto tie = [](Word, Word place) { return place; };
        sort_alone(tile, rows, m.columns, m.other, load, store, tie);
    };
    bool pull = attempt >= 2;
    if (pull)
        sort_rows(
            [](Index, Real low, Real high) { return (low + high) / 2; },
            [&](Word, Index here, Real middle) { middles[here] = middle; }
        );
    sort_rows(
        [&](Index here, Real low, Real high) { return clip(m.repair[here].clipped, low, high); },
        [&](Word row, Index here, Real value) {
            bool pulled = pull && m.stuck_row[row];
            m.repair[here].clipped = pulled ? rest * value + weight * middles[here] : value;
        }
    );
    rank_columns_of(m, tile, matrix);
}

// The last resort: rows ranked by their means, alike in every column.
__device__ void rank_by_means(const Matrices& m, Entry* tile, Word matrix) {
    for (Word row = threadIdx.x; row < m.rows; row += THREADS) {
        const Real* x = m.row_of(matrix * Word(m.rows) + row);
        Real mean = 0;
        for (Word j = 0; j < m.width; ++j)
            mean = mean + x[m.order[m.at(matrix, j, row)]] / Real(m.width);
        m.repair[m.at(matrix, 0, row)].clipped = mean;
    }
    __syncthreads();
    auto load = [&](Word, Word row) {
        return Entry{order_key(m.repair[m.at(matrix, 0, row)].clipped), row};
    };
    auto store = [&](Word, Word place, Entry e) {
        for (Word j = 0; j < m.width; ++j) m.rank[m.at(matrix, j, e.index)] = place;
    };
    auto tie = [&](Word, Word row) { return m.repair[m.at(matrix, 0, row)].start; };
    // As if each matrix had one column: its segment of the scratch begins where the matrix does.
    Entry *one = m.columns + m.at(matrix, 0, 0), *two = m.other + m.at(matrix, 0, 0);
    sort_alone(tile, Segments(0, 1, Word(m.rows)), one, two, load, store, tie);
}

// Change ranks until no row is stuck, and write the distances. A call, not inlined: two kernels need
// it, mostly for its last lines.
__device__ __noinline__ void settle(const Matrices& m, Shared& shared, Word matrix, Outcome outcome) {
    Length bound = outcome.bound;
    if (outcome.stuck) {
        for (Word k = threadIdx.x; k < m.rows * m.width; k += THREADS) {
            Word row = k % Word(m.rows);
            Index here = m.at(matrix, 0, 0) + k;
            m.repair[here].start = m.rank[here];
            m.repair[here].clipped = m.row_of(matrix * Word(m.rows) + row)[m.order[here]];
        }
        __syncthreads();
    }
    for (int attempt = 0; attempt <= MAX_PASSES && outcome.stuck; ++attempt) {
        if (attempt < MAX_PASSES)
            repair_pass(m, shared.tile, matrix, attempt);
        else
            rank_by_means(m, shared.tile, matrix);
        __syncthreads();
        outcome = Outcome();
        assign(m, shared, matrix, of_block(), outcome);
        outcome.over_block(shared.sums);
    }
    if (threadIdx.x == 0) {
        double low = bound.value(), distance = outcome.moved.value();
        m.bound[matrix] = low;
        m.distance[matrix] = distance > low ? distance : low;  // less would be rounding
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) rank_rows(Matrices m, Index run) {
    __shared__ Shared shared;
    Segments rows(0, Word(m.batch * m.rows), Word(m.width));
    rank_rows_step(m, shared.tile, rows, of_grid(), Word(run));
}

extern "C" __global__ void __launch_bounds__(THREADS) rank_columns(Matrices m, Index run) {
    __shared__ Shared shared;
    Segments columns(0, Word(m.batch * m.width), Word(m.rows));
    rank_columns_step(m, shared.tile, columns, of_grid(), Word(run));
}

// `units` blocks a matrix; each leaves its outcome as seven numbers.
extern "C" __global__ void __launch_bounds__(THREADS) assign_ranks(Matrices m, Index units) {
    __shared__ Shared shared;
    Word matrix = blockIdx.x / Word(units), unit = blockIdx.x % Word(units);
    Outcome o;
    assign(m, shared, matrix, {unit, Word(units)}, o);
    o.over_block(shared.sums);
    if (threadIdx.x < 7) {
        double part[] = {o.moved.small, o.moved.middle, o.moved.large,
                         o.bound.small, o.bound.middle, o.bound.large, double(o.stuck)};
        m.partial[7 * Index(blockIdx.x) + threadIdx.x] = part[threadIdx.x];
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) settle_ranks(Matrices m, Index units) {
    __shared__ Shared shared;
    Outcome o;
    for (Word unit = threadIdx.x; unit < units; unit += THREADS) {
        const double* part = m.partial + 7 * (blockIdx.x * units + unit);
        o.moved.small += part[0];
        o.moved.middle += part[1];
        o.moved.large += part[2];
        o.bound.small += part[3];
        o.bound.middle += part[4];
        o.bound.large += part[5];
        o.stuck |= part[6] != 0;
    }
    o.over_block(shared.sums);
    settle(m, shared, blockIdx.x, o);
}

// A matrix that fits a tile goes through all of it in one block.
extern "C" __global__ void __launch_bounds__(THREADS) whole_matrix(Matrices m) {
    __shared__ Shared shared;
    Word matrix = blockIdx.x, rows = Word(m.rows), width = Word(m.width);
    rank_rows_step(m, shared.tile, Segments(matrix * rows, rows, width), of_block(), 0);
    rank_columns_step(m, shared.tile, Segments(matrix * width, width, rows), of_block(), 0);
    Outcome outcome;
    assign(m, shared, matrix, of_block(), outcome);
    outcome.over_block(shared.sums);
    settle(m, shared, matrix, outcome);
}
