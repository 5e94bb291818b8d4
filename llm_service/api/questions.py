"""Makes the question that is put to an engine from the body of a chat request.

The model's format decides how the answers are read, and what they may be where tools or a format
constrain them.
"""

import asyncio
from functools import partial

from llm_service.api.prompts import Prompts
from llm_service.api.running import Question
from llm_service.api.schemas import ChatCompletionRequest, SamplingFields
from llm_service.engine.formats import ToolChoice
from llm_service.engine.grammar import Grammar, GrammarSource
from llm_service.engine.served import ServedModel
from llm_service.errors import InvalidRequest, UnsupportedParameter


async def chat_question(
    prompts: Prompts,
    default_reasoning_tokens: int | None,
    model: ServedModel,
    body: ChatCompletionRequest,
) -> Question:
    """Return the question of a chat. `default_reasoning_tokens`: for requests that set no limit.

    Raises InvalidRequest, and ContextLengthExceeded if the conversation is far too long.
    """
    form, tools = model.format, [function.to_engine() for function in body.offered]
    choice = ToolChoice(body.tool_mode, body.named_tool, body.parallel_tool_calls)
    if tools and choice.is_required and not form.has_tools:
        raise UnsupportedParameter(
            "How this model writes calls is not known, so none can be required."
            " LLM_MODEL_FORMAT names its format.",
            param="tool_choice",
        )
    content = await asyncio.to_thread(body.content_grammar)
    prompt, image_tokens = await prompts.of_chat(
        model,
        body,
        body.messages,
        answer_schema=None if content is None else content.schema,
        param=body.prompt_param,
    )
    in_reasoning = form.opens_reasoning(prompt.token_ids)
    source = await asyncio.to_thread(
        form.grammar,
        tools,
        choice,
        None if content is None else content.body,
        in_reasoning=in_reasoning,
    )
    limit = body.max_reasoning_tokens
    limit = default_reasoning_tokens if limit is None else limit
    return Question(
        prompt,
        image_tokens=image_tokens,
        make_parser=partial(form.parser, tools, in_reasoning=in_reasoning),
        markers=form.markers,
        grammar=await _compiled(model, source, "tools" if content is None else content.param),
        reasoning_budget=(
            None if limit is None else form.reasoning_budget(limit, in_reasoning=in_reasoning)
        ),
    )


async def text_grammar(model: ServedModel, body: SamplingFields) -> Grammar | None:
    """Return the grammar of a text completion; None: free text."""
    content = await asyncio.to_thread(body.content_grammar)
    if content is None:
        return None
    return await _compiled(model, GrammarSource(f"start: {content.body}"), content.param)


async def _compiled(model: ServedModel, source: GrammarSource | None, param: str) -> Grammar | None:
    """Compile `source`. Raises InvalidRequest that names `param` if that cannot be done."""
    if source is None:
        return None
    try:
        return await model.engine.grammars.compile(source)
    except InvalidRequest as error:
        raise InvalidRequest(error.message, param=param) from error
