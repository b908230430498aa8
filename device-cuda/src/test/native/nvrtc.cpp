// A stand-in for NVRTC: compiles CUDA C++ with the host's compiler into a shared library that the
// stand-in for libcuda loads. Errors read as NVRTC's: file(line): error: ...
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#define API extern "C" __attribute__((visibility("default")))

namespace {

enum : int { OK = 0, INVALID_INPUT = 3, INVALID_PROGRAM = 4, INVALID_OPTION = 5, COMPILATION = 6, INTERNAL = 11 };

struct Program {
  std::string source;
  std::string name;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string log;
  std::string image;
};

std::mutex& lock = *new std::mutex();
std::set<Program*>& programs = *new std::set<Program*>();

bool known(void* program) {
  std::lock_guard<std::mutex> held(lock);
  return programs.count((Program*)program) > 0;
}

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void write(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string quoted(const std::string& text) {
  std::string result = "'";
  for (char c : text) {
    result += c == '\'' ? "'\\''" : std::string(1, c);
  }
  return result + "'";
}

bool isWord(char c) { return isalnum((unsigned char)c) || c == '_'; }

// Replaces each whole word; returns how many.
int replace(std::string& text, const std::string& word, const std::string& by) {
  int count = 0;
  for (size_t at = 0; (at = text.find(word, at)) != std::string::npos;) {
    size_t end = at + word.size();
    bool whole = (at == 0 || !isWord(text[at - 1])) && (end == text.size() || !isWord(text[end]));
    if (whole) {
      text.replace(at, word.size(), by);
      at += by.size();
      count++;
    } else {
      at = end;
    }
  }
  return count;
}

// The names that follow `__global__ void`.
std::vector<std::string> kernels(const std::string& text) {
  std::vector<std::string> found;
  const std::string mark = "__global__";
  for (size_t at = 0; (at = text.find(mark, at)) != std::string::npos;) {
    at += mark.size();
    size_t open = text.find('(', at);
    if (open == std::string::npos) break;
    size_t end = open;
    while (end > at && isspace((unsigned char)text[end - 1])) end--;
    size_t begin = end;
    while (begin > at && isWord(text[begin - 1])) begin--;
    found.push_back(text.substr(begin, end - begin));
  }
  return found;
}

// The host's compiler writes file:line:column: error, NVRTC file(line): error.
std::string asNvrtc(const std::string& log) {
  std::istringstream lines(log);
  std::string result, line;
  while (std::getline(lines, line)) {
    size_t error = line.find(": error: ");
    if (error == std::string::npos) error = line.find(": fatal error: ");
    if (error != std::string::npos) {
      size_t column = line.rfind(':', error - 1);
      size_t number = column == std::string::npos ? column : line.rfind(':', column - 1);
      if (number != std::string::npos) {
        line = line.substr(0, number) + "(" + line.substr(number + 1, column - number - 1) +
               "): error: " + line.substr(line.find("error: ", error) + 7);
      }
    }
    result += line + "\n";
  }
  return result;
}

bool run(const std::string& folder, const std::string& command, std::string& log) {
  int status = system(("cd " + folder + " && " + command + " 2> log").c_str());
  log += asNvrtc(read(folder + "/log"));
  return status == 0;
}

// Makes kernels callable, and shared memory static: of the block that runs, and poisoned before it.
std::string asHostCode(std::string text) {
  std::vector<std::string> names = kernels(text);
  replace(text, "__global__", "__attribute__((visibility(\"hidden\")))");
  int dynamic = replace(text, "extern __shared__", "extern");
  int fixed = replace(text, "__shared__", "static __attribute__((section(\"standin_shared\")))");
  std::string tail = "\n";
  for (const std::string& name : names) {
    tail += "extern \"C\" __attribute__((visibility(\"default\"))) void standin_call_" + name +
            "(void** p) { standin::call(" + name + ", p); }\n";
    tail += "extern \"C\" __attribute__((visibility(\"default\"))) int standin_sizes_" + name +
            "(unsigned* s) { return standin::sizes(" + name + ", s); }\n";
  }
  // By convention dynamic shared memory is `float shared[]`; what lies behind it is checked.
  if (dynamic) tail += "__attribute__((aligned(1024))) float shared[(99 * 1024 + 4096) / 4];\n";
  if (fixed) tail += "extern char __start_standin_shared[], __stop_standin_shared[];\n";
  tail += "extern \"C\" __attribute__((visibility(\"default\"))) void standin_shared_bounds(char** a) {\n";
  if (dynamic) tail += "  a[0] = (char*)shared;\n";
  if (fixed) tail += "  a[1] = __start_standin_shared;\n  a[2] = __stop_standin_shared;\n";
  return text + tail + "}\n";
}

int build(Program& program, const std::string& folder, const std::string& defines, bool fuses) {
  for (auto& [name, text] : program.headers) {
    write(folder + "/" + name, text);
  }
  write(folder + "/" + program.name, program.source);
  const std::string compiler = "g++ -std=c++17 -w ";
  std::string preprocess = compiler + "-E -x c++ -I . -include " STANDIN_DEVICE_HEADER + defines + " " +
                           quoted(program.name) + " > kernel.ii";
  if (!run(folder, preprocess, program.log)) return COMPILATION;
  write(folder + "/kernel.ii", asHostCode(read(folder + "/kernel.ii")));
  std::string compile = compiler +
                        "-O1 -march=native -fPIC -shared -fno-exceptions -fno-rtti "
                        "-fvisibility=hidden -ffp-contract=" +
                        (fuses ? "fast" : "off") + " -o kernel.so kernel.ii -lm";
  if (!run(folder, compile, program.log)) return COMPILATION;
  program.image = read(folder + "/kernel.so");
  return OK;
}

}  // namespace

API int nvrtcVersion(int* major, int* minor) {
  *major = 13;
  *minor = 0;
  return OK;
}

API int nvrtcCreateProgram(
    void** out, const char* source, const char* name, int count, const char* const* headers,
    const char* const* names) {
  if (!source || count < 0) return INVALID_INPUT;
  auto* program = new Program{source, name ? name : "default_program", {}, "", ""};
  for (int i = 0; i < count; i++) {
    program->headers.emplace_back(names[i], headers[i]);
  }
  std::lock_guard<std::mutex> held(lock);
  programs.insert(program);
  *out = program;
  return OK;
}

API int nvrtcDestroyProgram(void** program) {
  if (!known(*program)) return INVALID_PROGRAM;
  std::lock_guard<std::mutex> held(lock);
  programs.erase((Program*)*program);
  delete (Program*)*program;
  *program = nullptr;
  return OK;
}

API int nvrtcCompileProgram(void* handle, int count, const char* const* options) {
  if (!known(handle)) return INVALID_PROGRAM;
  auto& program = *(Program*)handle;
  program.log.clear();
  std::string defines;
  bool fuses = true;
  for (int i = 0; i < count; i++) {
    std::string option = options[i];
    if (option.rfind("-D", 0) == 0) {
      defines += " " + quoted(option);
    } else if (option == "--fmad=false") {
      fuses = false;
    } else if (option.rfind("--gpu-architecture=sm_", 0) != 0 && option.rfind("--std=", 0) != 0 &&
               option.rfind("--ptxas-options=", 0) != 0 && option != "--fmad=true") {
      program.log = "nvrtc: error: invalid value for option: " + option + "\n";
      return INVALID_OPTION;
    }
  }
  char folder[] = "/tmp/standin-nvrtc-XXXXXX";
  if (!mkdtemp(folder)) return INTERNAL;
  int status = build(program, folder, defines, fuses);
  if (system(("rm -rf " + std::string(folder)).c_str()) != 0) return INTERNAL;
  return status;
}

API int nvrtcGetProgramLogSize(void* program, size_t* size) {
  if (!known(program)) return INVALID_PROGRAM;
  *size = ((Program*)program)->log.size() + 1;
  return OK;
}

API int nvrtcGetProgramLog(void* program, char* log) {
  if (!known(program)) return INVALID_PROGRAM;
  const std::string& text = ((Program*)program)->log;
  memcpy(log, text.c_str(), text.size() + 1);
  return OK;
}

API int nvrtcGetCUBINSize(void* program, size_t* size) {
  if (!known(program)) return INVALID_PROGRAM;
  *size = ((Program*)program)->image.size();
  return OK;
}

API int nvrtcGetCUBIN(void* program, char* image) {
  if (!known(program)) return INVALID_PROGRAM;
  const std::string& bytes = ((Program*)program)->image;
  memcpy(image, bytes.data(), bytes.size());
  return OK;
}

API int nvrtcGetPTXSize(void*, size_t*) { return INVALID_PROGRAM; }

API int nvrtcGetPTX(void*, char*) { return INVALID_PROGRAM; }

API const char* nvrtcGetErrorString(int result) {
  switch (result) {
    case OK: return "NVRTC_SUCCESS";
    case INVALID_INPUT: return "NVRTC_ERROR_INVALID_INPUT";
    case INVALID_PROGRAM: return "NVRTC_ERROR_INVALID_PROGRAM";
    case INVALID_OPTION: return "NVRTC_ERROR_INVALID_OPTION";
    case COMPILATION: return "NVRTC_ERROR_COMPILATION";
    case 7: return "NVRTC_ERROR_BUILTIN_OPERATION_FAILURE";
    case INTERNAL: return "NVRTC_ERROR_INTERNAL_ERROR";
    default: return "NVRTC_ERROR unknown";
  }
}
