//! Sentences that people see in Feishu and Lark, in the two languages of its users. Pure.

use super::api::ApiError;

pub(super) const TOO_FAST: &str =
    "Too many messages at once; please wait a minute. 消息太快，请稍等一分钟再发。";
pub(super) const EMPTY: &str = "There is no text in this message. 这条消息没有内容。";
pub(super) const STOPPED: &str =
    "Stopped before it began; nothing was done. 尚未开始就已停止，没有执行任何操作。";
pub(super) const OWNERS_ONLY: &str =
    "Only the bot's owners may do this here. 只有机器人的所有者可以这样做。";
pub(super) const PAIRED: &str = "Paired: from now on I answer you. 配对成功，以后我会回复你。";
pub(super) const PAIRED_OWNER: &str =
    "Paired as an owner: from now on I answer you. 已配对为所有者，以后我会回复你。";
pub(super) const UNKNOWN_BUTTON: &str = "This button means nothing any more. 此按钮已失效。";
pub(super) const PRESSED: &str = "This was decided already. 已经处理过了。";
pub(super) const SWITCHING: &str = "Switching… 正在切换…";
pub(super) const APPROVAL: &str = "Approval needed · 需要批准";
pub(super) const ALLOW: &str = "Allow · 允许";
pub(super) const ALWAYS: &str = "Always · 总是允许";
pub(super) const DENY: &str = "Deny · 拒绝";
pub(super) const ALLOWED: &str = "Allowed · 已允许";
pub(super) const ALWAYS_ALLOWED: &str = "Always allowed · 已设为总是允许";
pub(super) const DENIED: &str = "Denied · 已拒绝";
pub(super) const EXPIRED: &str = "Not answered, no longer open · 未处理，已失效";
pub(super) const NO_CARD: &str = "Cards are not to be had here; answer in the terminal client. 此处无法显示卡片，请在终端客户端处理。";
pub(super) const DIALOGS: &str = "Dialogs · 对话";
pub(super) const NO_DIALOGS: &str = "There are no dialogs here yet. 这里还没有对话。";

/// What is said in the place of an answer that the service does not show.
pub(super) fn refused(error: &ApiError) -> String {
    let (english, chinese) = match error {
        ApiError::Refused { code: 230_022, .. } => (
            "it holds words that are blocked".to_owned(),
            "其中含有被拦截的敏感词".to_owned(),
        ),
        ApiError::Refused { code: 230_028, .. } => (
            "data-loss prevention blocks it, perhaps for a phone number or an address".to_owned(),
            "触发了数据防泄漏规则，可能含有电话号码或邮箱".to_owned(),
        ),
        ApiError::Refused { code, .. } => (format!("code {code}"), format!("错误码 {code}")),
        _ => ("it is too large".to_owned(), "内容过大".to_owned()),
    };
    format!(
        "The service does not show this answer: {english}. It is kept in the dialog; ask for it in other words. \
         飞书没有显示这条回答：{chinese}。回答已保存在对话中，请换个说法再问。"
    )
}

/// What is said of a file that an answer names and the service does not take.
pub(super) fn not_uploaded(name: &str, error: &ApiError) -> String {
    format!("{name} was not sent 文件未能发送: {error}")
}
