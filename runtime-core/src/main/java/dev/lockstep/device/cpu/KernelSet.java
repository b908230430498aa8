package dev.lockstep.device.cpu;

import java.io.IOException;
import java.io.InputStream;
import java.lang.constant.ConstantDescs;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodHandles.Lookup;
import java.lang.invoke.MethodType;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/// The kernels for one vector width.
///
/// A vector kernel class is a template: each set defines it anew as a hidden class that carries the
/// species as class data, so that several widths live side by side in one process and the compiler
/// sees a constant in each.
///
/// @param vectorBits the width; [#SCALAR_BITS] is the scalar path
/// @param gemm matrix products
/// @param elements element-wise work
/// @param casts conversions of narrow floats
/// @param random numbers by counter
/// @param rows sums along rows and columns
/// @param norms norms of rows
/// @param attention attention
record KernelSet(
    int vectorBits,
    GemmKernels gemm,
    ElementKernels elements,
    CastKernels casts,
    RandomKernels random,
    RowKernels rows,
    NormKernels norms,
    AttentionKernels attention) {
  /// How [dev.lockstep.device.DeviceOptions] names the scalar path.
  static final int SCALAR_BITS = 64;

  /// Returns the scalar kernels, which need no module beyond `java.base`.
  static KernelSet scalar() {
    return new KernelSet(
        SCALAR_BITS,
        new ScalarGemm(),
        new ScalarElements(),
        new ScalarCasts(),
        new ScalarRandom(),
        new ScalarRows(),
        new ScalarNorms(),
        new ScalarAttention());
  }

  /// Returns the kernels for vectors of 128, 256 or 512 bits and the caches found.
  static KernelSet vector(int vectorBits) {
    return vector(vectorBits, Caches.found());
  }

  /// Returns the kernels for vectors of 128, 256 or 512 bits: the same bits whatever the caches.
  static KernelSet vector(int vectorBits, Caches caches) {
    VectorSpecies<Float> species =
        VectorSpecies.of(float.class, VectorShape.forBitSize(vectorBits));
    RowKernels rows = define(RowKernels.class, VectorRows.class, species);
    CastKernels casts = define(CastKernels.class, VectorCasts.class, species);
    return new KernelSet(
        vectorBits,
        gemm(species, casts, caches),
        define(ElementKernels.class, VectorElements.class, species),
        casts,
        define(RandomKernels.class, VectorRandom.class, species),
        rows,
        define(NormKernels.class, VectorNorms.class, species, rows),
        attention(species, rows));
  }

  private static GemmKernels gemm(VectorSpecies<Float> species, CastKernels casts, Caches caches) {
    MethodType withCasts = MethodType.methodType(void.class, CastKernels.class);
    Object packing = instance(hidden(VectorPacking.class, species), withCasts, casts);
    TileKernels tiles = define(TileKernels.class, VectorTiles.class, species);
    MethodType withAll =
        MethodType.methodType(void.class, PackKernels.class, TileKernels.class, Caches.class);
    Lookup type = hidden(VectorGemm.class, species);
    return (GemmKernels) instance(type, withAll, packing, tiles, caches);
  }

  private static AttentionKernels attention(VectorSpecies<Float> species, RowKernels rows) {
    SoftmaxKernels softmax = define(SoftmaxKernels.class, VectorSoftmax.class, species);
    MethodType type = MethodType.methodType(void.class, RowKernels.class, SoftmaxKernels.class);
    return (AttentionKernels) instance(hidden(VectorAttention.class, species), type, rows, softmax);
  }

  /// Returns the widest vectors of 128, 256 or 512 bits that this processor and this JVM offer, or
  /// [#SCALAR_BITS] if there are none.
  static int preferredBits() {
    int bits = Integer.highestOneBit(FloatVector.SPECIES_PREFERRED.vectorBitSize());
    return bits < 128 ? SCALAR_BITS : Math.min(512, bits);
  }

  /// Returns the species that the hidden class behind `lookup` carries; for its static initialiser.
  @SuppressWarnings("unchecked") // class data is what define() passed
  static VectorSpecies<Float> species(Lookup lookup) {
    try {
      return MethodHandles.classData(lookup, ConstantDescs.DEFAULT_NAME, VectorSpecies.class);
    } catch (IllegalAccessException e) {
      throw new IllegalStateException("kernel class has no species: class=" + lookup, e);
    }
  }

  private static <T> T define(
      Class<T> family, Class<? extends T> template, VectorSpecies<Float> species) {
    return family.cast(instance(hidden(template, species), MethodType.methodType(void.class)));
  }

  private static <T> T define(
      Class<T> family, Class<? extends T> template, VectorSpecies<Float> species, RowKernels rows) {
    MethodType type = MethodType.methodType(void.class, RowKernels.class);
    return family.cast(instance(hidden(template, species), type, rows));
  }

  private static Object instance(Lookup hidden, MethodType type, Object... arguments) {
    try {
      return hidden.findConstructor(hidden.lookupClass(), type).invokeWithArguments(arguments);
    } catch (Throwable e) {
      throw new IllegalStateException("kernel class cannot be made: class=" + hidden, e);
    }
  }

  private static Lookup hidden(Class<?> template, VectorSpecies<Float> species) {
    String file = template.getSimpleName() + ".class";
    try (InputStream bytes = KernelSet.class.getResourceAsStream(file)) {
      if (bytes == null) {
        throw new IllegalStateException("kernel class is missing: file=" + file);
      }
      return MethodHandles.lookup()
          .defineHiddenClassWithClassData(bytes.readAllBytes(), species, true);
    } catch (IOException | IllegalAccessException e) {
      throw new IllegalStateException("kernel class cannot be loaded: file=" + file, e);
    }
  }
}
