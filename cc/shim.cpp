/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The only C++ of the project: LLVM has no C interface to run clang in process (shim.h). For LLVM 15 and newer. */
#include <clang/Basic/Diagnostic.h>
#include <clang/Basic/DiagnosticOptions.h>
#include <clang/Basic/FileManager.h>
#include <clang/Basic/SourceManager.h>
#include <clang/Basic/Version.h>
#include <clang/CodeGen/CodeGenAction.h>
#include <clang/Frontend/CompilerInstance.h>
#include <clang/Frontend/CompilerInvocation.h>
#include <clang/Frontend/TextDiagnosticPrinter.h>
#include <clang/Frontend/Utils.h>
#include <clang/Lex/PPCallbacks.h>
#include <clang/Lex/Preprocessor.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/PassManager.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/ErrorHandling.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/Path.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/VirtualFileSystem.h>
#include <new>
#include <unistd.h>
#include "build/tags.h"
#include "shim.h"

using namespace clang;

extern "C" {
void LLVMInitializeBPFTargetInfo(void);
void LLVMInitializeBPFTarget(void);
void LLVMInitializeBPFTargetMC(void);
void LLVMInitializeBPFAsmPrinter(void);
void LLVMInitializeBPFAsmParser(void);
}

namespace {

/* Hands each diagnostic out twice: as a record, and as the text that clang would print. */
class Reporter : public DiagnosticConsumer {
	const cc_job &job;
	TextDiagnosticPrinter printer;
	unsigned lesser = 0; /* warnings and notes so far */

    public:
	Reporter(const cc_job &j, llvm::raw_ostream &out, DiagnosticOptions &options)
		: job(j),
#if CLANG_VERSION_MAJOR >= 21
		  printer(out, options)
#else
		  printer(out, &options)
#endif
	{
	}

	void BeginSourceFile(const LangOptions &lang, const Preprocessor *pp) override
	{
		printer.BeginSourceFile(lang, pp);
	}

	void EndSourceFile() override { printer.EndSourceFile(); }

	/* What nobody will read is not kept: a source can have as many warnings as it has lines. */
	void HandleDiagnostic(DiagnosticsEngine::Level level, const Diagnostic &info) override
	{
		DiagnosticConsumer::HandleDiagnostic(level, info);
		if (level < DiagnosticsEngine::Error && ++lesser > 1000)
			return;
		printer.HandleDiagnostic(level, info);
		put_record(level, info);
	}

    private:
	void put_record(DiagnosticsEngine::Level level, const Diagnostic &info)
	{
		uint32_t head[3] = { (uint32_t)level, 0, 0 };
		llvm::SmallString<256> message;
		std::string record, file;

		info.FormatDiagnostic(message);
		if (info.getLocation().isValid() && info.hasSourceManager()) {
			PresumedLoc at = info.getSourceManager().getPresumedLoc(info.getLocation());

			if (at.isValid()) {
				file = at.getFilename();
				head[1] = at.getLine();
				head[2] = at.getColumn();
			}
		}
		record.assign((const char *)head, sizeof(head));
		record += file;
		record += '\0';
		record += message.str();
		job.put(job.ctx, CC_DIAGNOSTIC, record.data(), record.size());
	}
};

/*
 * Every file that was read, system headers too. With a collector's own listener clang says nothing when an #embed finds no file.
 */
class Inputs : public DependencyCollector {
	class Listener : public PPCallbacks {
		Inputs &inputs;
		SourceManager &sources;

		void add(OptionalFileEntryRef file)
		{
			if (file)
				inputs.maybeAddDependency(file->getName(), false, false, false, false);
		}

	    public:
		Listener(Inputs &i, SourceManager &s) : inputs(i), sources(s) {}

		void LexedFileChanged(FileID file, LexedFileChangeReason reason, SrcMgr::CharacteristicKind, FileID,
				      SourceLocation) override
		{
			if (reason == LexedFileChangeReason::EnterFile)
				add(sources.getFileEntryRefForID(file));
		}
#if CLANG_VERSION_MAJOR >= 19
		void EmbedDirective(SourceLocation, StringRef, bool, OptionalFileEntryRef file,
				    const LexEmbedParametersResult &) override
		{
			add(file);
		}
#endif
	};

    public:
	bool needSystemDependencies() override { return true; }

	void attachToPreprocessor(Preprocessor &pp) override
	{
		pp.addPPCallbacks(std::make_unique<Listener>(*this, pp.getSourceManager()));
	}
};

#if CLANG_VERSION_MAJOR >= 19
/*
 * BTF is made from the types and lines in the debug information, DWARF is thrown away afterwards: leaving it out, and with it
 * the tracking of where each local variable lives, halves the work behind the front end. Instructions and BTF stay the same.
 */
class LeaveOutDwarf : public llvm::PassInfoMixin<LeaveOutDwarf> {
    public:
	llvm::PreservedAnalyses run(llvm::Module &module, llvm::ModuleAnalysisManager &)
	{
		for (llvm::Function &function : module)
			for (llvm::BasicBlock &block : function)
				for (llvm::Instruction &instruction : llvm::make_early_inc_range(block)) {
					instruction.dropDbgRecords();
					if (llvm::isa<llvm::DbgVariableIntrinsic>(instruction))
						instruction.eraseFromParent();
				}
		leave_out_version(module);
		return llvm::PreservedAnalyses::all();
	}

    private:
	/* LLVM writes no DWARF for a module of the other format that has no DWARF version, and CodeView for Windows only. */
	void leave_out_version(llvm::Module &module)
	{
		llvm::NamedMDNode *flags = module.getModuleFlagsMetadata();
		llvm::SmallVector<llvm::MDNode *, 8> kept;

		if (!flags)
			return;
		for (llvm::MDNode *flag : flags->operands()) {
			auto *name = llvm::dyn_cast<llvm::MDString>(flag->getOperand(1));

			if (!name || name->getString() != "Dwarf Version")
				kept.push_back(flag);
		}
		flags->clearOperands();
		for (llvm::MDNode *flag : kept)
			flags->addOperand(flag);
		module.addModuleFlag(llvm::Module::Warning, "CodeView", 1);
	}
};

void leave_out_dwarf(CompilerInstance &compiler)
{
	compiler.getCodeGenOpts().PassBuilderCallbacks.push_back([](llvm::PassBuilder &builder) {
		builder.registerPipelineStartEPCallback(
			[](llvm::ModulePassManager &passes, auto) { passes.addPass(LeaveOutDwarf()); });
	});
}
#else
void leave_out_dwarf(CompilerInstance &) {}
#endif

using Files = llvm::IntrusiveRefCntPtr<llvm::vfs::FileSystem>;

/* Files of a few directories; all others are not even there. The kernel sees to it too (confine.c), but might tell them apart. */
class OnlyDirs : public llvm::vfs::ProxyFileSystem {
	const char *const *dirs;

	bool is_hidden(const llvm::Twine &path) const
	{
		llvm::SmallString<256> clean;

		path.toVector(clean);
		if (makeAbsolute(clean))
			return true;
		llvm::sys::path::remove_dots(clean, true);
		for (const char *const *dir = dirs; *dir; dir++) {
			llvm::StringRef rest(clean);

			if (rest.consume_front(*dir) && (rest.empty() || rest[0] == '/'))
				return false;
		}
		return true;
	}

    public:
	OnlyDirs(Files files, const char *const *d) : ProxyFileSystem(files), dirs(d) {}

	llvm::ErrorOr<llvm::vfs::Status> status(const llvm::Twine &path) override
	{
		return is_hidden(path) ? make_error_code(llvm::errc::no_such_file_or_directory) : ProxyFileSystem::status(path);
	}

	llvm::ErrorOr<std::unique_ptr<llvm::vfs::File>> openFileForRead(const llvm::Twine &path) override
	{
		if (is_hidden(path))
			return make_error_code(llvm::errc::no_such_file_or_directory);
		return ProxyFileSystem::openFileForRead(path);
	}

	llvm::vfs::directory_iterator dir_begin(const llvm::Twine &path, std::error_code &error) override
	{
		if (!is_hidden(path))
			return ProxyFileSystem::dir_begin(path, error);
		error = make_error_code(llvm::errc::no_such_file_or_directory);
		return {};
	}

#if CLANG_VERSION_MAJOR >= 20
	bool exists(const llvm::Twine &path) override { return !is_hidden(path) && ProxyFileSystem::exists(path); }
#endif
};

Files make_files(const cc_job &job)
{
	Files real(llvm::vfs::getRealFileSystem());
	llvm::IntrusiveRefCntPtr<llvm::vfs::InMemoryFileSystem> given(new llvm::vfs::InMemoryFileSystem());

	if (job.only_dirs)
		real = new OnlyDirs(real, job.only_dirs);

	llvm::IntrusiveRefCntPtr<llvm::vfs::OverlayFileSystem> all(new llvm::vfs::OverlayFileSystem(real));

	if (auto cwd = real->getCurrentWorkingDirectory())
		given->setCurrentWorkingDirectory(*cwd);
	for (size_t i = 0; i < job.file_count; i++) {
		llvm::StringRef text(job.files[i].text, job.files[i].size);

		given->addFile(job.files[i].name, 0, llvm::MemoryBuffer::getMemBuffer(text, job.files[i].name));
	}
	all->pushOverlay(given);
	return all;
}

void initialize_once()
{
	static bool done;

	if (done)
		return;
	LLVMInitializeBPFTargetInfo();
	LLVMInitializeBPFTarget();
	LLVMInitializeBPFTargetMC();
	LLVMInitializeBPFAsmPrinter();
	LLVMInitializeBPFAsmParser();
	std::set_new_handler([] { _exit(CC_EXIT_MEMORY); });
	llvm::install_bad_alloc_error_handler([](void *, const char *, bool) { _exit(CC_EXIT_MEMORY); });
	done = true;
}

/* The differences between LLVM releases in how a compiler comes to its invocation, file system and diagnostics. */
void set_up(CompilerInstance &compiler, Files files, DiagnosticConsumer *reporter)
{
#if CLANG_VERSION_MAJOR >= 22
	compiler.setVirtualFileSystem(files);
	compiler.createDiagnostics(reporter, false);
	compiler.createFileManager();
#elif CLANG_VERSION_MAJOR >= 20
	compiler.createDiagnostics(*files, reporter, false);
	compiler.createFileManager(files);
#else
	compiler.createDiagnostics(reporter, false);
	compiler.createFileManager(files);
#endif
}

} // namespace

extern "C" const char *cc_version(void)
{
	return CLANG_VERSION_STRING;
}

extern "C" bool cc_compile(const cc_job *job)
{
	std::string text;
	llvm::raw_string_ostream text_stream(text);
	llvm::SmallString<0> object;
	auto invocation = std::make_shared<CompilerInvocation>();
	bool ok;

	initialize_once();
#if CLANG_VERSION_MAJOR >= 21
	DiagnosticOptions early_options;
	Reporter early(*job, text_stream, early_options);
	DiagnosticsEngine early_engine(llvm::makeIntrusiveRefCnt<DiagnosticIDs>(), early_options, &early, false);
#else
	llvm::IntrusiveRefCntPtr<DiagnosticOptions> early_options(new DiagnosticOptions());
	Reporter early(*job, text_stream, *early_options);
	DiagnosticsEngine early_engine(llvm::IntrusiveRefCntPtr<DiagnosticIDs>(new DiagnosticIDs()), early_options,
				       &early, false);
#endif
	ok = CompilerInvocation::CreateFromArgs(*invocation, llvm::ArrayRef<const char *>(job->args, job->arg_count),
						early_engine);
	if (ok) {
#if CLANG_VERSION_MAJOR >= 21
		CompilerInstance compiler(invocation);
#else
		CompilerInstance compiler;
		compiler.setInvocation(invocation);
#endif
		Reporter reporter(*job, text_stream, compiler.getDiagnosticOpts());
		auto inputs = std::make_shared<Inputs>();
		EmitObjAction action;

		compiler.setVerboseOutputStream(std::make_unique<llvm::raw_null_ostream>());
		text_stream.enable_colors(compiler.getDiagnosticOpts().ShowColors);
		set_up(compiler, make_files(*job), &reporter);
		leave_out_dwarf(compiler);
		compiler.addDependencyCollector(inputs);
		compiler.setOutputStream(std::make_unique<llvm::raw_svector_ostream>(object));
		ok = compiler.ExecuteAction(action) && !compiler.getDiagnostics().hasErrorOccurred();
		for (const std::string &name : inputs->getDependencies())
			job->put(job->ctx, CC_INPUT, name.data(), name.size());
	}
	text_stream.flush();
	job->put(job->ctx, CC_TEXT, text.data(), text.size());
	if (ok)
		job->put(job->ctx, CC_OBJECT, object.data(), object.size());
	return ok;
}
