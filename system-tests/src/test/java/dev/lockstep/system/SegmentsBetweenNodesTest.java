package dev.lockstep.system;

import static dev.lockstep.transport.TransportHarness.receive;
import static dev.lockstep.transport.TransportHarness.send;
import static dev.lockstep.transport.TransportHarness.stamped;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.graph.ReduceOp;
import dev.lockstep.memory.Registration;
import dev.lockstep.tensor.DType;
import dev.lockstep.transport.PacketRelay.Weather;
import dev.lockstep.transport.Sink;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.TransportHarness.Pair;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Messages of several segments, which the contract of transports has none of, over a cable on
/// which packets get lost, come twice, late and out of order.
@Tag("long")
@Timeout(90)
final class SegmentsBetweenNodesTest {
  private static final int WORLD = 1;

  /// One segment, five and twelve: each with a rest.
  private static final int[] SIZES = {70_001, (1 << 20) + 3, 3_000_001};

  /// A little more than four segments.
  private static final int ELEMENTS = (1 << 18) + 5;

  @TempDir private Path directory;

  /// Over `ofi:udp` packets are lost on one way only (see [AlgorithmsBetweenNodesTest]).
  @ParameterizedTest(name = "{0}")
  @CsvSource({"ofi:tcp, true", "ofi:udp, false"})
  void arriveWholeBothWaysAtOnce(String transport, boolean bothWays) throws IOException {
    Libfabric.require(transport);
    Weather weather = new Weather(1, 2, 5, 200);
    try (TwoNodes nodes = bothWays ? TwoNodes.joined(weather) : TwoNodes.joinedOneWay(weather);
        RanksOnNodes on = new RanksOnNodes(nodes, directory);
        TransportHarness ranks = on.open(transport, 2)) {
      Pair there = ranks.link(0, 1, WORLD);
      Pair back = ranks.link(1, 0, WORLD);
      for (int sequence = 0; sequence < SIZES.length; sequence++) {
        exchange(ranks, there, back, sequence, SIZES[sequence]);
      }
      addUp(ranks, there, SIZES.length);
      assertThat(nodes.interferences()).isPositive();
    }
  }

  private static void exchange(
      TransportHarness ranks, Pair there, Pair back, long sequence, int bytes) {
    Registration[] sources = {ranks.random(3, bytes, 1), ranks.random(3, bytes, 2)};
    Registration[] targets = {ranks.zeros(5, bytes), ranks.zeros(5, bytes)};
    Transfer[] all = {
      receive(targets[0], WORLD, sequence),
      receive(targets[1], WORLD, sequence),
      send(sources[0], WORLD, sequence),
      send(sources[1], WORLD, sequence)
    };
    ranks.post(there.receiver(), all[0]);
    ranks.post(back.receiver(), all[1]);
    ranks.post(there.sender(), all[2]);
    ranks.post(back.sender(), all[3]);
    ranks.await(all);
    for (int way = 0; way < 2; way++) {
      assertThat(targets[way].segment().mismatch(sources[way].segment()))
          .as("%d bytes, way %d", bytes, way)
          .isEqualTo(-1);
    }
  }

  private static void addUp(TransportHarness ranks, Pair link, long sequence) {
    Registration source = ranks.zeros(0, (long) ELEMENTS * Float.BYTES);
    Registration target = ranks.zeros(0, (long) ELEMENTS * Float.BYTES);
    for (int i = 0; i < ELEMENTS; i++) {
      source.segment().setAtIndex(ValueLayout.JAVA_FLOAT, i, i);
      target.segment().setAtIndex(ValueLayout.JAVA_FLOAT, i, 1);
    }
    Sink sink = new Sink.Reduce(target, DType.F32, new ReduceOp.Sum());
    Transfer receiving = stamped(Transfer.receive(sink), WORLD, sequence);
    Transfer sending = send(source, WORLD, sequence);
    ranks.post(link.receiver(), receiving);
    ranks.post(link.sender(), sending);
    ranks.await(receiving, sending);
    for (int i = 0; i < ELEMENTS; i++) {
      assertThat(target.segment().getAtIndex(ValueLayout.JAVA_FLOAT, i)).isEqualTo(i + 1f);
    }
  }
}
