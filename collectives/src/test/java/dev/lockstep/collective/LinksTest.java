package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeFalse;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.collective.algorithm.Algorithms;
import dev.lockstep.collective.plan.LinkCache;
import dev.lockstep.collective.plan.LinkTable;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.simulate.Fabric;
import dev.lockstep.collective.simulate.Level;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.transport.CurrentCore;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Timeout(60)
class LinksTest {
  /// So little that only small buffers are measured.
  private static final long MEMORY = 8 << 20;

  private static final Duration BRIEF = Duration.ofMillis(20);

  @TempDir Path folder;

  private CommunicatorOptions fitted(String transport, boolean anew) {
    return CommunicatorOptions.defaults()
        .withTransport(transport)
        .withLinks(new LinkSource.Fitted(Optional.of(folder), BRIEF, anew));
  }

  private Path cached() throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files.findFirst().orElseThrow();
    }
  }

  private static String host() {
    try (Job job = Job.inProcess(1, JobConfig.of(Map.of())).getFirst()) {
      return job.host();
    }
  }

  private static List<LinkTable> tables(int ranks, CommunicatorOptions options) {
    return Ranks.run(ranks, MEMORY, options, rank -> rank.communicator.links());
  }

  /// In the place of what was measured on a busy machine, and is doubted, typical constants serve.
  private static void assumeBelieved(LinkTable table) {
    assumeFalse(table.key().isEmpty(), "what was measured on a busy machine is doubted");
  }

  private static CollectiveRequest sum(Communicator communicator, long elements) {
    return CollectiveRequest.allReduce(
        DType.F32,
        new ReduceOp.Sum(),
        elements,
        true,
        communicator.topology(),
        LaneSplit.onePerRank(communicator.size()),
        Mode.SAME_BITS);
  }

  /// Where each rank has a core no signal takes nine microseconds.
  @Test
  void aKeptTableThatCannotBeTrueIsMeasuredAnew() {
    assumeTrue(Runtime.getRuntime().availableProcessors() >= 2, "two ranks share a core");
    Fabric typical = LinkTable.typical("in-process", true).fabric();
    Level links = typical.levels().getFirst();
    Level slow =
        new Level(
            links.name(),
            Level.ALL,
            links.messageNanos(),
            links.shortBytes(),
            links.shortNanos(),
            9_000,
            links.bandwidth(),
            links.memory(),
            0);
    Fabric busy = new Fabric(typical.name(), typical.compute(), List.of(slow));
    LinkTable kept = new LinkTable(LinkTable.key("in-process", 2, 1, host()), Instant.now(), busy);
    new LinkCache(folder).keep(kept);
    assertThat(new LinkCache(folder).find(kept.key(), Instant.now())).isPresent();
    LinkTable measured = tables(2, fitted("in-process", false)).getFirst();
    assertThat(measured.fabric().levels().getFirst().signalNanos()).isNotEqualTo(9_000);
  }

  @Test
  void whereAFitHasJustBeenDoubtedTypicalConstantsServe() {
    assumeTrue(Runtime.getRuntime().availableProcessors() >= 2, "two ranks share a core");
    new LinkCache(folder).doubt(LinkTable.key("in-process", 2, 1, host()), Instant.now());
    LinkTable typical = LinkTable.typical("in-process", true);
    assertThat(tables(2, fitted("in-process", false))).containsOnly(typical);
  }

  @Test
  void whereRanksShareCoresTypicalConstantsAreThoseOfTheirTurns() {
    int ranks = Runtime.getRuntime().availableProcessors() + 1;
    assumeTrue(ranks <= 9, "more ranks than that take long to start");
    CommunicatorOptions typical = CommunicatorOptions.defaults().withLinks(LinkSource.typical());
    assertThat(tables(ranks, typical.withTransport("in-process")))
        .containsOnly(LinkTable.typicalOfSharedCores("in-process"));
    assertThat(tables(ranks, typical.withTransport("messages-only")))
        .containsOnly(LinkTable.typical("messages-only", false));
  }

  /// Where each has a core it is kept there meanwhile.
  @Test
  void ranksThatHaveMeasuredMayRunWhereTheyMightBefore() {
    BitSet before = CurrentCore.allowed();
    List<BitSet> after =
        Ranks.run(2, MEMORY, fitted("in-process", true), _ -> CurrentCore.allowed());
    assertThat(after).containsOnly(before);
  }

  @ParameterizedTest(name = "transport={0}, P={1}")
  @CsvSource({"in-process, 5", "messages-only, 2", "messages-only, 3"})
  void ranksMeasureOnceAndAllHaveTheSameTable(String transport, int ranks) throws IOException {
    List<LinkTable> first = tables(ranks, fitted(transport, false));
    assertThat(first).containsOnly(first.getFirst());
    assertThat(first.getFirst().fabric().name()).isEqualTo(transport);
    assumeBelieved(first.getFirst());
    assertThat(LinkTable.decode(Files.readString(cached()))).isEqualTo(first.getFirst());
    assertThat(tables(ranks, fitted(transport, false))).containsOnly(first.getFirst());
  }

  @Test
  void ranksMeasureWithoutAFolderToKeepItIn() throws IOException {
    CommunicatorOptions homeless =
        fitted("messages-only", false)
            .withLinks(new LinkSource.Fitted(Optional.empty(), BRIEF, false));
    List<LinkTable> tables = tables(2, homeless);
    assertThat(tables).containsOnly(tables.getFirst());
    assumeBelieved(tables.getFirst());
    Fabric measured = tables.getFirst().fabric();
    assertThat(measured).isNotEqualTo(LinkTable.typical("messages-only", false).fabric());
    assertThat(tables(2, homeless).getFirst().fabric()).isNotEqualTo(measured);
  }

  @Test
  void ranksMeasureAnewWhereTheyAreAskedAndWhereTheCacheIsDamaged() throws IOException {
    LinkTable first = tables(2, fitted("messages-only", false)).getFirst();
    assumeBelieved(first);
    LinkTable second = tables(2, fitted("messages-only", true)).getFirst();
    assumeBelieved(second);
    assertThat(second.fabric()).isNotEqualTo(first.fabric());
    Files.writeString(cached(), "garbage");
    LinkTable third = tables(2, fitted("messages-only", false)).getFirst();
    assumeBelieved(third);
    assertThat(third.fabric()).isNotEqualTo(second.fabric());
    assertThat(LinkTable.decode(Files.readString(cached()))).isEqualTo(third);
  }

  @Test
  void whereRanksKnowDifferentThingsTheFirstOnesHold() throws Exception {
    LinkTable typical = LinkTable.typical("first", true);
    List<CommunicatorOptions> each =
        List.of(
            CommunicatorOptions.defaults().withLinks(LinkSource.stated(typical)),
            CommunicatorOptions.defaults()
                .withLinks(LinkSource.stated(LinkTable.typical("second", false))),
            fitted("", false));
    List<Job> jobs = Job.inProcess(3, JobConfig.of(Map.of()));
    List<Future<LinkTable>> tables = new ArrayList<>();
    try (ExecutorService threads = Executors.newFixedThreadPool(3)) {
      for (Job job : jobs) {
        tables.add(
            threads.submit(
                () -> {
                  try (Communicator world = Communicator.world(job, each.get(job.rank()))) {
                    world.barrier();
                    return world.links();
                  }
                }));
      }
      for (Future<LinkTable> table : tables) {
        assertThat(table.get()).isEqualTo(typical);
      }
    } finally {
      jobs.forEach(Job::close);
    }
    assertThat(folder).isEmptyDirectory();
  }

  @Test
  void sequencesOfTheCommunicatorStartAtNoughtAfterAFit() {
    List<String> messages =
        Ranks.run(
            2,
            MEMORY,
            fitted("in-process", false),
            rank -> {
              Tensor in = rank.sharedTensor(DType.F32, 4);
              Tensor out = rank.sharedTensor(DType.F32, 5);
              try {
                rank.communicator.allReduce(in, out, new ReduceOp.Sum());
                return "";
              } catch (IllegalArgumentException wrong) {
                return String.valueOf(wrong.getMessage());
              }
            });
    assertThat(messages).allSatisfy(message -> assertThat(message).contains("sequence=0"));
  }

  @Test
  void partsOfASplitChooseByTheConstantsOfTheWhole() {
    List<Boolean> same =
        Ranks.run(
            4,
            MEMORY,
            fitted("in-process", false),
            rank -> {
              try (Communicator part =
                  rank.communicator.split(rank.number() % 2, 0).orElseThrow()) {
                part.barrier();
                return part.links().equals(rank.communicator.links());
              }
            });
    assertThat(same).containsOnly(true);
  }

  @Test
  void aPreparedCollectiveSaysItsAlgorithmAndHowLongItShouldTake() {
    List<Double> predicted =
        Ranks.run(
            2,
            Ranks.options(),
            rank -> {
              Tensor tensor = rank.sharedTensor(DType.F32, 100_000);
              CollectiveRequest request = sum(rank.communicator, 100_000);
              try (PreparedCollective chosen =
                      rank.communicator.prepare(request, List.of(tensor), tensor);
                  PreparedCollective named =
                      rank.communicator.prepare(
                          request,
                          Algorithms.named("exchange-all-reduce").orElseThrow(),
                          List.of(tensor),
                          tensor)) {
                chosen.run();
                named.run();
                assertThat(chosen.schedule().algorithm()).isEqualTo("spread-all-reduce");
                assertThat(named.schedule().algorithm()).isEqualTo("exchange-all-reduce");
                assertThat(named.predictedNanos().orElseThrow())
                    .isGreaterThan(chosen.predictedNanos().orElseThrow());
                return chosen.predictedNanos().orElseThrow();
              }
            });
    assertThat(predicted).allSatisfy(nanos -> assertThat(nanos).isPositive());
    assertThat(predicted.get(0)).isEqualTo(predicted.get(1));
  }

  @Test
  void anAlgorithmThatCannotDoItIsRefusedOnEveryRankAlone() {
    List<String> messages =
        Ranks.run(
            2,
            Ranks.options(),
            rank -> {
              Tensor tensor = rank.sharedTensor(DType.F32, 8);
              CollectiveRequest request = sum(rank.communicator, 8);
              assertThatThrownBy(
                      () ->
                          rank.communicator.prepare(
                              request,
                              Algorithms.named("ring-all-reduce").orElseThrow(),
                              List.of(tensor),
                              tensor))
                  .isInstanceOf(IllegalArgumentException.class)
                  .hasMessageContaining("lane tree");
              rank.communicator.barrier(); // and the communicator can be used
              return "";
            });
    assertThat(messages).hasSize(2);
  }
}
