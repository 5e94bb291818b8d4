/**
 * The icons of the dashboard, from Lucide, under the names of what they stand for here.
 *
 * Each is imported by itself: to find thirty icons among all of them slows down every build.
 */

import type { LucideIcon } from "lucide-react";
import ArrowUp from "lucide-react/icons/arrow-up";
import Bell from "lucide-react/icons/bell";
import ChartLine from "lucide-react/icons/chart-line";
import Check from "lucide-react/icons/check";
import ChevronLeft from "lucide-react/icons/chevron-left";
import ChevronRight from "lucide-react/icons/chevron-right";
import CircleQuestionMark from "lucide-react/icons/circle-question-mark";
import Code from "lucide-react/icons/code";
import Copy from "lucide-react/icons/copy";
import Cpu from "lucide-react/icons/cpu";
import Download from "lucide-react/icons/download";
import Gauge from "lucide-react/icons/gauge";
import Image from "lucide-react/icons/image";
import KeyRound from "lucide-react/icons/key-round";
import List from "lucide-react/icons/list";
import MessageSquare from "lucide-react/icons/message-square";
import Moon from "lucide-react/icons/moon";
import PanelLeft from "lucide-react/icons/panel-left";
import Paperclip from "lucide-react/icons/paperclip";
import Pause from "lucide-react/icons/pause";
import Pencil from "lucide-react/icons/pencil";
import Play from "lucide-react/icons/play";
import Plus from "lucide-react/icons/plus";
import RotateCw from "lucide-react/icons/rotate-cw";
import Search from "lucide-react/icons/search";
import SlidersHorizontal from "lucide-react/icons/sliders-horizontal";
import Square from "lucide-react/icons/square";
import Sun from "lucide-react/icons/sun";
import Table from "lucide-react/icons/table";
import Trash2 from "lucide-react/icons/trash-2";
import Upload from "lucide-react/icons/upload";
import Wrench from "lucide-react/icons/wrench";
import X from "lucide-react/icons/x";

/** Icons have 16 pixels. They say nothing to screen readers: what they are part of has a name. */
function icon(Lucide: LucideIcon, fill = "none") {
  return function Icon() {
    return <Lucide size={16} fill={fill} aria-hidden />;
  };
}

export const IconAttach = icon(Paperclip);
export const IconBack = icon(ChevronLeft);
export const IconBell = icon(Bell);
export const IconChart = icon(ChartLine);
export const IconChat = icon(MessageSquare);
export const IconCheck = icon(Check);
export const IconChevron = icon(ChevronRight);
export const IconChip = icon(Cpu);
export const IconClose = icon(X);
export const IconCode = icon(Code);
export const IconCopy = icon(Copy);
export const IconDownload = icon(Download);
export const IconEdit = icon(Pencil);
export const IconGauge = icon(Gauge);
export const IconHelp = icon(CircleQuestionMark);
export const IconImage = icon(Image);
export const IconKey = icon(KeyRound);
export const IconList = icon(List);
export const IconMoon = icon(Moon);
export const IconPause = icon(Pause);
export const IconPlay = icon(Play);
export const IconPlus = icon(Plus);
export const IconRedo = icon(RotateCw);
export const IconSearch = icon(Search);
export const IconSend = icon(ArrowUp);
export const IconSidebar = icon(PanelLeft);
export const IconStop = icon(Square, "currentColor");
export const IconSun = icon(Sun);
export const IconTable = icon(Table);
export const IconTool = icon(Wrench);
export const IconTrash = icon(Trash2);
export const IconTune = icon(SlidersHorizontal);
export const IconUpload = icon(Upload);
