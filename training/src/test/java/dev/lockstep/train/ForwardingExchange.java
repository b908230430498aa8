package dev.lockstep.train;

import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.parallel.Exchange;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// An exchange that leaves all to another one, for tests that change a part of it.
abstract class ForwardingExchange implements Exchange {
  final Exchange exchange;

  ForwardingExchange(Exchange exchange) {
    this.exchange = exchange;
  }

  @Override
  public Prepared prepare(Primitive op, List<Tensor> inputs, Tensor output) {
    return exchange.prepare(op, inputs, output);
  }

  @Override
  public Prepared reduceScatter(
      String axis, LaneSplit lanes, List<Long> counts, List<Tensor> inputs, Tensor output) {
    return exchange.reduceScatter(axis, lanes, counts, inputs, output);
  }

  @Override
  public Prepared allGather(String axis, List<Long> counts, Tensor part, Tensor whole) {
    return exchange.allGather(axis, counts, part, whole);
  }

  @Override
  public Prepared gather(List<Long> counts, Tensor part, @Nullable Tensor whole) {
    return exchange.gather(counts, part, whole);
  }

  @Override
  public List<String> words(String mine) {
    return exchange.words(mine);
  }

  @Override
  public Message message(String axis, boolean forth, int from, Tensor memory) {
    return exchange.message(axis, forth, from, memory);
  }
}
