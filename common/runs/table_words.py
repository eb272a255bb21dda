"""The words of the result tables, in English and in Chinese."""

from __future__ import annotations

from typing import Callable

Words = Callable[[str], str]

_NOTES = (
    "Results are of the whole test set, with the last weights; the best epoch is chosen on the "
    "validation split, never on the test set. Several seeds: mean ± standard deviation. Samples/s "
    "is of the whole job over steady-state steps."
)
_CHINESE = {
    "NOTES": (
        "结果取自整个测试集、最后一步的权重；最佳轮次只按验证集选择，从不看测试集。多个随机种子给出"
        "均值 ± 标准差。样本/秒为整个任务在稳定步骤上的速度。"
    ),
    "Run": "运行",
    "Data": "数据集",
    "Result": "结果",
    "Best on validation": "验证集最佳权重",
    "Samples/s": "样本/秒",
    "On what, how long": "设备与用时",
    "Logs by seed": "日志（按种子）",
    "Network": "网络",
    "Steps": "步数",
    "Precision": "精度模式",
    "Global batch": "全局批大小",
    "Evaluated": "评测样本",
    "Smallest, median": "最小值、中位数",
    "Data wait": "等待数据",
    "Peak memory": "内存峰值",
    "Date, commit": "日期、提交",
    "What": "网络与任务",
    "Published": "已发表",
    "Here": "本项目实测",
    "Record": "记录",
    "record": "记录",
    "log": "日志",
    "Network, precision, batch, memory, commit": "网络、精度、批大小、内存、提交",
    "No run is recorded yet.": "尚无运行记录。",
    "† run with uncommitted changes.": "† 运行时有未提交的改动。",
    "Published by others, not measured here: {} (source: {})": (
        "他人发表，非本项目实测：{}（来源：{}）"
    ),
    "aborted: {}": "中止：{}",
    "{} of {} reached {:g}": "{1} 次中 {0} 次达到 {2:g}",
    "{} epochs, ": "{} 轮，",
    "{} epoch, ": "{} 轮，",
    "epoch {:.0f}": "第 {:.0f} 轮",
    "step {:,.0f}": "第 {:,.0f} 步",
    "; {:,} parameters": "；{:,} 个参数",
    "classification": "分类",
    "object discovery": "物体发现",
    "set prediction": "集合预测",
}


def english(text: str) -> str:
    """A text as it is."""
    return _NOTES if text == "NOTES" else text


def chinese(text: str) -> str:
    """A text in Chinese; one that is not known stays as it is."""
    return _CHINESE.get(text, text)


def of_file(name: str) -> Words:
    """The language of a document, by its name."""
    return chinese if name.endswith(".zh-CN.md") else english
