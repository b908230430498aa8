import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.ServiceLoader;
import java.util.SplittableRandom;

/// Matrix products of the CPU device in one process, in turn, on the same memory: on one thread beside
/// OpenBLAS's `cblas_sgemm`, on more beside itself on one thread. (Two libraries whose threads spin would take
/// each other's cores.) See `bench/peers/sgemm/run`.
///
///     Sgemm LIBRARY THREADS [TRANSPOSES MxNxK ...]
class Sgemm {
  private static final String[] SHAPES = {
    "NN 256x256x256", "NN 384x384x384", "NN 512x512x512", "NN 768x768x768", "NN 1024x1024x1024",
    "NN 2048x2048x2048",
    // Step A, forward, input gradient, weight gradient
    "NN 2048x1152x384", "NN 2048x384x384", "NN 2048x1536x384", "NN 2048x384x1536",
    "NT 2048x384x1152", "NT 2048x384x1536", "NT 2048x1536x384", "TN 384x1152x2048",
    "TN 384x1536x2048", "TN 1536x384x2048",
    // Step B
    "NN 768x384x128", "NN 768x128x512", "NT 768x512x128", "TN 128x512x768",
    // GPT-2 124M
    "NN 256x2304x768", "NT 1024x768x3072", "TN 3072x1024x768"
  };
  private static final int ROUNDS = 7;
  private static final long ROUND_NANOS = 60_000_000;

  interface Product extends AutoCloseable {
    void run();

    @Override
    default void close() {}
  }

  /// What the device is compared with.
  interface Rival {
    /// Returns a product of the same operands.
    Product product(Operands operands);
  }

  /// A product `[m, k] x [k, n]`, each factor transposed or not.
  record Operands(
      int m, int n, int k, boolean ta, boolean tb, Tensor a, Tensor b, Tensor result) {}

  /// Median rates, GFLOP/s.
  record Rates(double ours, double theirs) {
    double ratio() {
      return ours / theirs;
    }
  }

  public static void main(String[] args) throws Throwable {
    int threads = Integer.parseInt(args[1]);
    DeviceProvider cpu =
        ServiceLoader.load(DeviceProvider.class).stream()
            .map(ServiceLoader.Provider::get)
            .filter(provider -> provider.name().equals("cpu"))
            .findFirst()
            .orElseThrow();
    String[] shapes = args.length > 2 ? Arrays.copyOfRange(args, 2, args.length) : SHAPES;
    try (MemoryPool pool = MemoryPool.root("sgemm", 4L << 30);
        Device device = cpu.open(0, new DeviceOptions(pool, threads, 0));
        Stream stream = device.newStream()) {
      System.out.println("# " + device.info().description());
      if (threads == 1) {
        compareAll(device, stream, "OpenBLAS", openBlas(args[0]), shapes);
      } else {
        try (Device alone = cpu.open(0, new DeviceOptions(pool, 1, 0));
            Stream other = alone.newStream()) {
          compareAll(device, stream, "one thread", operands -> onOne(alone, other, operands), shapes);
        }
      }
    }
  }

  private static void compareAll(
      Device device, Stream stream, String name, Rival rival, String[] shapes) {
    System.out.printf("%-24s lockstep GFLOP/s %10s GFLOP/s   ratio%n", "shape", name);
    List<Double> ratios = new ArrayList<>();
    // While the first product is timed the compiler still works, on a core that two threads need: it is
    // timed once more.
    compare(device, stream, rival, shapes[0]);
    for (String shape : shapes) {
      Rates rates = compare(device, stream, rival, shape);
      System.out.printf("%-24s %16.1f %18.1f %7.3f%n", shape, rates.ours, rates.theirs, rates.ratio());
      ratios.add(rates.ratio());
    }
    ratios.sort(null);
    System.out.printf(
        "median ratio %.3f, least %.3f%n", ratios.get(ratios.size() / 2), ratios.getFirst());
  }

  private static Rival openBlas(String path) throws Throwable {
    SymbolLookup library = SymbolLookup.libraryLookup(path, Arena.global());
    Linker linker = Linker.nativeLinker();
    MethodHandle sgemm =
        linker.downcallHandle(
            library.findOrThrow("cblas_sgemm"),
            FunctionDescriptor.ofVoid(
                JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_FLOAT, ADDRESS,
                JAVA_INT, ADDRESS, JAVA_INT, JAVA_FLOAT, ADDRESS, JAVA_INT));
    linker
        .downcallHandle(
            library.findOrThrow("openblas_set_num_threads"), FunctionDescriptor.ofVoid(JAVA_INT))
        .invoke(1);
    var core =
        (MemorySegment)
            linker
                .downcallHandle(
                    library.findOrThrow("openblas_get_corename"), FunctionDescriptor.of(ADDRESS))
                .invoke();
    System.out.println("# OpenBLAS core: " + core.reinterpret(64).getString(0));
    return o -> {
      MemorySegment as = o.a.segment();
      MemorySegment bs = o.b.segment();
      MemorySegment cs = o.result.segment();
      return () -> {
        try {
          sgemm.invokeExact(
              101, o.ta ? 112 : 111, o.tb ? 112 : 111, o.m, o.n, o.k, 1f, as, o.ta ? o.m : o.k, bs,
              o.tb ? o.k : o.n, 0f, cs, o.n);
        } catch (Throwable e) {
          throw new IllegalStateException(e);
        }
      };
    };
  }

  private static Product onOne(Device device, Stream stream, Operands o) {
    Program program = device.compile(graph(o.m, o.n, o.k, o.ta, o.tb));
    BoundProgram bound = program.bind(Map.of("a", o.a, "b", o.b, "c", o.result));
    return new Product() {
      @Override
      public void run() {
        stream.run(bound);
      }

      @Override
      public void close() {
        program.close();
      }
    };
  }

  private static Graph graph(int m, int n, int k, boolean ta, boolean tb) {
    var builder = new GraphBuilder("product");
    var a = builder.input("a", ta ? ValueType.f32(k, m) : ValueType.f32(m, k));
    var b = builder.input("b", tb ? ValueType.f32(n, k) : ValueType.f32(k, n));
    builder.output("c", builder.one(new MatMul(ta, tb, Blocks.WHOLE), a, b));
    return builder.build();
  }

  static Rates compare(Device device, Stream stream, Rival rival, String shape) {
    String[] sizes = shape.substring(3).split("x");
    int m = Integer.parseInt(sizes[0]);
    int n = Integer.parseInt(sizes[1]);
    int k = Integer.parseInt(sizes[2]);
    boolean ta = shape.charAt(0) == 'T';
    boolean tb = shape.charAt(1) == 'T';
    List<Buffer> buffers = new ArrayList<>();
    Product theirs = null;
    try (var program = device.compile(graph(m, n, k, ta, tb))) {
      Tensor a = tensor(device, buffers, "a", ta ? ValueType.f32(k, m) : ValueType.f32(m, k));
      Tensor b = tensor(device, buffers, "b", tb ? ValueType.f32(n, k) : ValueType.f32(k, n));
      Tensor c = tensor(device, buffers, "c", ValueType.f32(m, n));
      BoundProgram bound = program.bind(Map.of("a", a, "b", b, "c", c));
      Tensor other = tensor(device, buffers, "other", ValueType.f32(m, n));
      Product ours = () -> stream.run(bound);
      theirs = rival.product(new Operands(m, n, k, ta, tb, a, b, other));
      double flops = 2.0 * m * n * k;
      seconds(ours, 700_000_000);
      seconds(theirs, 100_000_000);
      double[] mine = new double[ROUNDS];
      double[] its = new double[ROUNDS];
      for (int round = 0; round < ROUNDS; round++) {
        mine[round] = flops / seconds(ours, ROUND_NANOS) / 1e9;
        its[round] = flops / seconds(theirs, ROUND_NANOS) / 1e9;
      }
      check(c.segment(), other.segment(), k);
      Arrays.sort(mine);
      Arrays.sort(its);
      return new Rates(mine[ROUNDS / 2], its[ROUNDS / 2]);
    } finally {
      if (theirs != null) {
        theirs.close();
      }
      buffers.forEach(Buffer::close);
    }
  }

  private static void check(MemorySegment ours, MemorySegment theirs, int k) {
    for (long i = 0; i < ours.byteSize() / 4; i++) {
      float difference = ours.getAtIndex(JAVA_FLOAT, i) - theirs.getAtIndex(JAVA_FLOAT, i);
      if (!(Math.abs(difference) <= 1e-5 * k)) {
        throw new IllegalStateException("products differ: element=" + i + ", by=" + difference);
      }
    }
  }

  private static double seconds(Product product, long least) {
    long start = System.nanoTime();
    long now = start;
    int runs = 0;
    while (now - start < least) {
      product.run();
      runs++;
      now = System.nanoTime();
    }
    return (now - start) / 1e9 / runs;
  }

  private static Tensor tensor(Device device, List<Buffer> buffers, String name, ValueType type) {
    Buffer buffer = device.allocate(name, type.bytes());
    buffers.add(buffer);
    var random = new SplittableRandom(name.hashCode());
    for (long i = 0; i < type.shape().elements(); i++) {
      buffer.segment().setAtIndex(JAVA_FLOAT, i, (float) random.nextDouble(-1, 1));
    }
    return Tensor.of(buffer, type.dtype(), type.shape());
  }
}
