package dev.lockstep.device.cuda;

import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Cost;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Value;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/// A chain of element-wise nodes and the norm of what it makes, by one kernel: the residual stream
/// takes a branch up, and is normed for the next one. A row stays in registers between the two.
///
/// @param chain writes what is normed, and nothing else
/// @param norm of rows of a width that registers hold
record NormUnit(FusedUnit chain, CudaUnit norm) implements ProgramUnit {
  /// Whether a norm can follow a chain at once.
  ///
  /// @param made what the chain makes that is normed
  static boolean fits(FusedUnit chain, CudaUnit norm, int made) {
    return isNorm(norm.node())
        && CompositeLowering.isKept(Sizes.last(norm.node().inputs().getFirst().type().shape()))
        && chain.writes().size() == 1
        && chain.writes().getFirst().id() == made;
  }

  private static boolean isNorm(Node node) {
    return node.op() instanceof Composite.LayerNorm || node.op() instanceof Composite.RmsNorm;
  }

  @Override
  public List<Value> reads() {
    List<Value> ofNorm = norm.reads();
    return Stream.concat(chain.reads().stream(), ofNorm.subList(1, ofNorm.size()).stream())
        .toList();
  }

  @Override
  public List<Value> writes() {
    return Stream.concat(chain.writes().stream(), norm.writes().stream()).toList();
  }

  /// A thread reads its elements of a row before it writes them.
  @Override
  public List<InPlace> inPlace() {
    return chain.inPlace();
  }

  @Override
  public boolean isElementWise() {
    return false;
  }

  @Override
  public Cost cost() {
    Cost sum = chain.cost().plus(norm.cost());
    return new Cost(sum.flops(), sum.bytes() - chain.writes().getFirst().type().bytes());
  }

  @Override
  public String line() {
    return chain.line() + "; " + norm.line();
  }

  /// Appends the launch.
  void lower(Emission emit) {
    int rows = Sizes.rows(norm.node().inputs().getFirst().type().shape());
    if (rows == 0) {
      return;
    }
    FusedSource source = FusedSource.of(this);
    LaunchBuilder launch = FusedLowering.launch(chain, source);
    List<Value> ofNorm = new ArrayList<>(norm.reads().subList(1, norm.reads().size()));
    ofNorm.addAll(norm.writes());
    ofNorm.forEach(launch::at);
    emit.add(
        launch
            .word(rows)
            .real(epsilon())
            .grid(ReduceLowering.rowGrid(rows), ReduceLowering.ROW_THREADS));
  }

  private float epsilon() {
    return norm.node().op() instanceof Composite.LayerNorm(float epsilon)
        ? epsilon
        : ((Composite.RmsNorm) norm.node().op()).epsilon();
  }

  /// Whether the norm is one of deviations from a mean.
  boolean isLayerNorm() {
    return norm.node().op() instanceof Composite.LayerNorm;
  }

  /// Returns the width of a row.
  int width() {
    return Sizes.last(norm.node().inputs().getFirst().type().shape());
  }
}
