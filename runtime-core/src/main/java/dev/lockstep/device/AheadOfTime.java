package dev.lockstep.device;

import dev.lockstep.graph.Graph;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;

/// Compiles programs for a kind of device, on a machine that need not have one: what `lockstep
/// compile` calls. Found by [java.util.ServiceLoader].
public interface AheadOfTime {
  /// Returns the kind of device, as users write it after `--device`.
  String device();

  /// Returns the forms in which programs are written, as users write them after `--emit`; the first
  /// is the usual one.
  List<String> forms();

  /// Returns whether programs of a form keep their collectives inside. Otherwise they are what the
  /// device gets between the collectives that the host runs.
  ///
  /// @param form one of [#forms]
  boolean keepsCollectives(String form);

  /// Returns what programs can be compiled for, as users write it after `--target`; the first is
  /// the usual one.
  List<String> targets();

  /// Compiles programs and hands each out as soon as it is there. Blocks; a compiler may take
  /// minutes.
  ///
  /// @throws IllegalArgumentException if a graph holds what cannot be compiled, for example a
  ///   collective over an axis that the ranks have not
  /// @throws dev.lockstep.failure.DeviceException if the compiler is missing or fails
  /// @throws java.io.UncheckedIOException if the output cannot write a file
  void write(Build build);

  /// Takes files.
  interface Output {
    /// Takes one file.
    ///
    /// @param name its name, without a folder; given once in a build
    /// @param bytes what it holds; not to be changed
    /// @throws java.io.UncheckedIOException if it cannot be written
    void write(String name, byte[] bytes);
  }

  /// What is to be compiled.
  ///
  /// @param programs by the names of their files: the graph of each rank, in order, or one that all
  ///   ranks run; a form may write more than one file where ranks' graphs differ
  /// @param ranks the ranks that run them together
  /// @param sameBits whether sums over ranks follow the tree of the lanes
  /// @param form one of [#forms]
  /// @param target one of [#targets]
  /// @param output takes the files, in order
  /// @param progress gets a line now and then
  record Build(
      Map<String, List<Graph>> programs,
      RankGrid ranks,
      boolean sameBits,
      String form,
      String target,
      Output output,
      Consumer<String> progress) {
    /// Copies the map, in the order of the names.
    ///
    /// @throws IllegalArgumentException if a program has neither one graph nor one for each rank
    public Build {
      programs = Collections.unmodifiableSortedMap(new TreeMap<>(programs));
      for (Map.Entry<String, List<Graph>> program : programs.entrySet()) {
        int graphs = program.getValue().size();
        if (graphs != 1 && graphs != ranks.ranks()) {
          throw new IllegalArgumentException(
              "a program has one graph or one for each rank: program=%s, graphs=%d, ranks=%d"
                  .formatted(program.getKey(), graphs, ranks.ranks()));
        }
      }
    }
  }
}
