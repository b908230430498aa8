package dev.lockstep.device.cpu;

import dev.lockstep.graph.Blocks;

/// Rows of a table taken and added to by ids.
abstract class TableStep extends Step {
  private static final int TILE_ROWS = 64;

  final Embedding call;
  final int ids;
  final int table;
  final int updates;

  TableStep(Embedding call, int ids, int table, int updates) {
    this.call = call;
    this.ids = ids;
    this.table = table;
    this.updates = updates;
  }

  /// Copies the rows that ids name.
  static final class Gather extends TableStep {
    private final Tiles positions;
    private final long rowBytes;

    Gather(int table, int ids, int out, int count, int rows, long rowBytes) {
      super(new Embedding(count, rows, 1, 1, 1), ids, table, out);
      this.positions = new Tiles(count, TILE_ROWS);
      this.rowBytes = rowBytes;
    }

    @Override
    void execute() {
      call.idsAt = at(ids);
      call.table = at(table);
      call.updates = at(updates);
      parallel(positions.count());
    }

    @Override
    public void run(int worker, int from, int to) {
      call.gather(positions.start(from), positions.start(to), rowBytes);
    }

    @Override
    String label() {
      return "Gather ids=" + call.ids + " rows=" + call.rows;
    }
  }

  /// Adds rows into those that ids name.
  static final class ScatterAdd extends TableStep {
    private final Tiles rows;

    ScatterAdd(int ids, int updates, int out, int count, int rows, int width, Blocks order) {
      super(
          new Embedding(count, rows, width, Extents.outer(order), order.count()),
          ids,
          out,
          updates);
      this.rows = new Tiles(rows, TILE_ROWS);
    }

    @Override
    long sharedBytes() {
      return call.listBytes();
    }

    @Override
    long workerBytes() {
      return call.scratchBytes();
    }

    @Override
    void execute() {
      call.idsAt = at(ids);
      call.table = at(table);
      call.updates = at(updates);
      call.lists = frame().shared();
      call.list();
      parallel(rows.count());
    }

    @Override
    public void run(int worker, int from, int to) {
      long scratch = frame().scratch(worker);
      call.add(kernels().elements(), rows.start(from), rows.start(to), scratch);
    }

    @Override
    String label() {
      return "ScatterAdd ids=%d rows=%d blocks=%dx%d"
          .formatted(call.ids, call.rows, call.outer, call.blocks);
    }
  }
}
