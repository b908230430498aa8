package dev.lockstep.device.neuron.ffi;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.util.NoSuchElementException;

/// The Neuron runtime by the foreign function interface.
@SuppressWarnings("restricted") // links libnrt; LibC links the C library
final class NativeNrt implements Nrt {
  private static final Linker LINKER = Linker.nativeLinker();

  private final MethodHandle init;
  private final MethodHandle close;
  private final MethodHandle version;
  private final MethodHandle totalCores;
  private final MethodHandle instanceInfo;
  private final MethodHandle load;
  private final MethodHandle loadCollectives;
  private final MethodHandle unload;
  private final MethodHandle allocateTensorSet;
  private final MethodHandle destroyTensorSet;
  private final MethodHandle addTensorToTensorSet;
  private final MethodHandle execute;
  private final MethodHandle tensorAllocate;
  private final MethodHandle tensorFree;
  private final MethodHandle tensorAllocateSlice;
  private final MethodHandle tensorRead;
  private final MethodHandle tensorWrite;
  private final MethodHandle tensorMemset;
  private final MethodHandle tensorAddress;
  private final MethodHandle modelTensorInfo;
  private final MethodHandle freeModelTensorInfo;

  /// Finds the functions.
  ///
  /// @throws NoSuchElementException if the library lacks one
  NativeNrt(SymbolLookup library) {
    FunctionDescriptor oneAddress = FunctionDescriptor.of(JAVA_INT, ADDRESS);
    FunctionDescriptor sized = FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG);
    FunctionDescriptor copy =
        FunctionDescriptor.of(JAVA_INT, JAVA_LONG, ADDRESS, JAVA_LONG, JAVA_LONG);
    init = find(library, FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS, ADDRESS), "nrt_init");
    close = find(library, FunctionDescriptor.ofVoid(), "nrt_close");
    version = find(library, sized, "nrt_get_version");
    totalCores = find(library, oneAddress, "nrt_get_total_vnc_count", "nrt_get_total_nc_count");
    instanceInfo = find(library, sized, "nrt_get_instance_info");
    load =
        find(
            library,
            FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, JAVA_INT, JAVA_INT, ADDRESS),
            "nrt_load");
    loadCollectives =
        find(
            library,
            FunctionDescriptor.of(
                JAVA_INT, ADDRESS, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, ADDRESS),
            "nrt_load_collectives");
    unload = find(library, FunctionDescriptor.of(JAVA_INT, JAVA_LONG), "nrt_unload");
    allocateTensorSet = find(library, oneAddress, "nrt_allocate_tensor_set");
    destroyTensorSet = find(library, FunctionDescriptor.ofVoid(ADDRESS), "nrt_destroy_tensor_set");
    addTensorToTensorSet =
        find(
            library,
            FunctionDescriptor.of(JAVA_INT, JAVA_LONG, ADDRESS, JAVA_LONG),
            "nrt_add_tensor_to_tensor_set");
    execute =
        find(
            library,
            FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG),
            "nrt_execute");
    tensorAllocate =
        find(
            library,
            FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG, ADDRESS, ADDRESS),
            "nrt_tensor_allocate");
    tensorFree = find(library, FunctionDescriptor.ofVoid(ADDRESS), "nrt_tensor_free");
    tensorAllocateSlice =
        find(
            library,
            FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG, ADDRESS, ADDRESS),
            "nrt_tensor_allocate_slice");
    tensorRead = find(library, copy, "nrt_tensor_read");
    tensorWrite = find(library, copy, "nrt_tensor_write");
    tensorMemset =
        find(
            library,
            FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_LONG),
            "nrt_tensor_memset");
    tensorAddress = find(library, FunctionDescriptor.of(JAVA_LONG, JAVA_LONG), "nrt_tensor_get_va");
    modelTensorInfo =
        find(
            library,
            FunctionDescriptor.of(JAVA_INT, JAVA_LONG, ADDRESS),
            "nrt_get_model_tensor_info");
    freeModelTensorInfo =
        find(library, FunctionDescriptor.of(JAVA_INT, JAVA_LONG), "nrt_free_model_tensor_info");
  }

  /// Opens a library, which stays open as long as the process.
  ///
  /// @throws IllegalArgumentException if there is none of this name
  /// @throws NoSuchElementException if it lacks a function
  static NativeNrt open(String file) {
    return new NativeNrt(SymbolLookup.libraryLookup(file, Arena.global()));
  }

  /// The function of the first name that the library has.
  private static MethodHandle find(
      SymbolLookup library, FunctionDescriptor descriptor, String... names) {
    for (String name : names) {
      var symbol = library.find(name);
      if (symbol.isPresent()) {
        return LINKER.downcallHandle(symbol.get(), descriptor);
      }
    }
    throw new NoSuchElementException("function is missing: " + String.join(" or ", names));
  }

  private static AssertionError impossible(String function, Throwable cause) {
    return new AssertionError("downcall failed: function=" + function, cause);
  }

  @Override
  public int init(int framework, MemorySegment frameworkVersion, MemorySegment falVersion) {
    try {
      return (int) init.invokeExact(framework, frameworkVersion, falVersion);
    } catch (Throwable cause) {
      throw impossible("nrt_init", cause);
    }
  }

  @Override
  public void close() {
    try {
      close.invokeExact();
    } catch (Throwable cause) {
      throw impossible("nrt_close", cause);
    }
  }

  @Override
  public int version(MemorySegment into) {
    try {
      return (int) version.invokeExact(into, into.byteSize());
    } catch (Throwable cause) {
      throw impossible("nrt_get_version", cause);
    }
  }

  @Override
  public int totalCores(MemorySegment count) {
    try {
      return (int) totalCores.invokeExact(count);
    } catch (Throwable cause) {
      throw impossible("nrt_get_total_vnc_count", cause);
    }
  }

  @Override
  public int instanceInfo(MemorySegment info) {
    try {
      return (int) instanceInfo.invokeExact(info, info.byteSize());
    } catch (Throwable cause) {
      throw impossible("nrt_get_instance_info", cause);
    }
  }

  @Override
  public int load(MemorySegment neff, int core, MemorySegment model) {
    try {
      return (int) load.invokeExact(neff, neff.byteSize(), core, 1, model);
    } catch (Throwable cause) {
      throw impossible("nrt_load", cause);
    }
  }

  @Override
  public int loadCollectives(
      MemorySegment neff, int core, int rank, int ranks, MemorySegment model) {
    try {
      return (int) loadCollectives.invokeExact(neff, neff.byteSize(), core, 1, rank, ranks, model);
    } catch (Throwable cause) {
      throw impossible("nrt_load_collectives", cause);
    }
  }

  @Override
  public int unload(long model) {
    try {
      return (int) unload.invokeExact(model);
    } catch (Throwable cause) {
      throw impossible("nrt_unload", cause);
    }
  }

  @Override
  public int allocateTensorSet(MemorySegment set) {
    try {
      return (int) allocateTensorSet.invokeExact(set);
    } catch (Throwable cause) {
      throw impossible("nrt_allocate_tensor_set", cause);
    }
  }

  @Override
  public void destroyTensorSet(MemorySegment set) {
    try {
      destroyTensorSet.invokeExact(set);
    } catch (Throwable cause) {
      throw impossible("nrt_destroy_tensor_set", cause);
    }
  }

  @Override
  public int addTensorToTensorSet(long set, MemorySegment name, long tensor) {
    try {
      return (int) addTensorToTensorSet.invokeExact(set, name, tensor);
    } catch (Throwable cause) {
      throw impossible("nrt_add_tensor_to_tensor_set", cause);
    }
  }

  @Override
  public int execute(long model, long inputs, long outputs) {
    try {
      return (int) execute.invokeExact(model, inputs, outputs);
    } catch (Throwable cause) {
      throw impossible("nrt_execute", cause);
    }
  }

  @Override
  public int tensorAllocate(
      int placement, int core, long bytes, MemorySegment name, MemorySegment tensor) {
    try {
      return (int) tensorAllocate.invokeExact(placement, core, bytes, name, tensor);
    } catch (Throwable cause) {
      throw impossible("nrt_tensor_allocate", cause);
    }
  }

  @Override
  public void tensorFree(MemorySegment tensor) {
    try {
      tensorFree.invokeExact(tensor);
    } catch (Throwable cause) {
      throw impossible("nrt_tensor_free", cause);
    }
  }

  @Override
  public int tensorAllocateSlice(
      long source, long offset, long bytes, MemorySegment name, MemorySegment tensor) {
    try {
      return (int) tensorAllocateSlice.invokeExact(source, offset, bytes, name, tensor);
    } catch (Throwable cause) {
      throw impossible("nrt_tensor_allocate_slice", cause);
    }
  }

  @Override
  public int tensorRead(long tensor, MemorySegment buffer, long offset, long bytes) {
    try {
      return (int) tensorRead.invokeExact(tensor, buffer, offset, bytes);
    } catch (Throwable cause) {
      throw impossible("nrt_tensor_read", cause);
    }
  }

  @Override
  public int tensorWrite(long tensor, MemorySegment buffer, long offset, long bytes) {
    try {
      return (int) tensorWrite.invokeExact(tensor, buffer, offset, bytes);
    } catch (Throwable cause) {
      throw impossible("nrt_tensor_write", cause);
    }
  }

  @Override
  public int tensorMemset(long tensor, long offset, int value, long bytes) {
    try {
      return (int) tensorMemset.invokeExact(tensor, offset, value, bytes);
    } catch (Throwable cause) {
      throw impossible("nrt_tensor_memset", cause);
    }
  }

  @Override
  public long tensorAddress(long tensor) {
    try {
      return (long) tensorAddress.invokeExact(tensor);
    } catch (Throwable cause) {
      throw impossible("nrt_tensor_get_va", cause);
    }
  }

  @Override
  public int modelTensorInfo(long model, MemorySegment array) {
    try {
      return (int) modelTensorInfo.invokeExact(model, array);
    } catch (Throwable cause) {
      throw impossible("nrt_get_model_tensor_info", cause);
    }
  }

  @Override
  public int freeModelTensorInfo(long array) {
    try {
      return (int) freeModelTensorInfo.invokeExact(array);
    } catch (Throwable cause) {
      throw impossible("nrt_free_model_tensor_info", cause);
    }
  }

  @Override
  public MemorySegment memory(long address, long bytes) {
    return MemorySegment.ofAddress(address).reinterpret(bytes);
  }
}
